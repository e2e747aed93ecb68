/**
 * `write-host-certificates.ts [--owner UID] FOLDER HOST…`: writes ca/ca.crt, and HOST/host.crt and HOST/host.key for each host, into
 * folders of FOLDER that exist; nothing if all these files are there. The files belong to the user UID.
 */

import { chownSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeHostCertificates } from './host-certificates.ts';

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { owner: { type: 'string' } },
    allowPositionals: true,
  });
  const [folder, ...names] = positionals;
  if (folder === undefined || names.length === 0) {
    throw new Error('usage: write-host-certificates.ts [--owner UID] FOLDER HOST…');
  }
  const inFolder = (...parts: readonly string[]) => path.join(folder, ...parts);
  const wanted = names.flatMap((name) => [inFolder(name, 'host.crt'), inFolder(name, 'host.key')]);
  if ([...wanted, inFolder('ca', 'ca.crt')].every((file) => existsSync(file))) return;

  const owner = values.owner === undefined ? undefined : Number(values.owner);
  const write = (file: string, text: string, mode: number) => {
    rmSync(file, { force: true });
    writeFileSync(file, text, { mode });
    if (owner !== undefined) chownSync(file, owner, owner);
  };
  const { authority, hosts } = await makeHostCertificates(names, Date.now());
  for (const { name, certificate, key } of hosts) {
    write(inFolder(name, 'host.key'), key, 0o600);
    write(inFolder(name, 'host.crt'), certificate, 0o644);
  }
  write(inFolder('ca', 'ca.crt'), authority, 0o644);
}

void main(process.argv.slice(2));
