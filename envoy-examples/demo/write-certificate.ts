/** `write-certificate.ts FOLDER`: writes front-envoy's server.crt and server.key, unless they exist. */

import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeServerCertificate } from './certificate.ts';

async function main([folder]: readonly string[]): Promise<void> {
  if (folder === undefined) throw new Error('usage: write-certificate.ts FOLDER');
  const file = path.join(folder, 'server.crt');
  if (existsSync(file)) return;
  const { certificate, key } = await makeServerCertificate(Date.now());
  writeFileSync(path.join(folder, 'server.key'), key, { mode: 0o600 });
  writeFileSync(file, certificate);
}

void main(process.argv.slice(2));
