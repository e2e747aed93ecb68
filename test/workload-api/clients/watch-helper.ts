/**
 * Runs a real `spiffe-helper`, or a program in its place, and prints each change of the files that it writes as a line of
 * JSON: `watch-helper.ts SOCKET SPIFFE_HELPER [WORD…]`.
 */

import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [socket, helper, ...words] = process.argv.slice(2) as [string, string, ...string[]];
const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-helper-'));
const file = (name: string) => path.join(folder, name);
writeFileSync(
  file('helper.conf'),
  `agent_address = ${JSON.stringify(socket)}
cert_dir = ${JSON.stringify(folder)}
svid_file_name = "svid.pem"
svid_key_file_name = "key.pem"
svid_bundle_file_name = "bundle.pem"
include_federated_domains = true
jwt_svids = [{ jwt_audience = "db", jwt_svid_file_name = "token" }]
jwt_bundle_file_name = "jwks.json"
`,
);
const child = spawn(helper, [...words, '-config', file('helper.conf')], { stdio: 'ignore' });
child.on('exit', (status) => {
  process.stdout.write(`${JSON.stringify({ error: `spiffe-helper ended with ${status}` })}\n`);
  process.exit(1);
});
for (const signal of ['SIGTERM', 'exit'] as const) {
  process.on(signal, () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    if (signal !== 'exit') process.exit();
  });
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const certificates = (name: string) =>
  (readFileSync(file(name), 'utf8').match(PEM) ?? []).map((pem) => new X509Certificate(pem));
const uriOf = ({ subjectAltName = '' }: X509Certificate) => /URI:([^,]+)/.exec(subjectAltName)?.[1] ?? '';

function look(): object | undefined {
  try {
    const [leaf] = certificates('svid.pem');
    const roots = certificates('bundle.pem');
    const token = readFileSync(file('token'), 'utf8');
    const { sub } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8')) as { sub: string };
    const isWhole =
      leaf!.checkPrivateKey(createPrivateKey(readFileSync(file('key.pem')))) &&
      sub === uriOf(leaf!) &&
      readFileSync(file('jwks.json')).length > 0;
    if (!isWhole || roots.length === 0) return undefined;
    return {
      ids: [sub],
      serial: leaf!.serialNumber,
      domains: [...new Set(roots.map(uriOf))].sort(),
      roots: roots.length,
    };
  } catch {
    // It writes its files one after the other, each in place.
    return undefined;
  }
}

for (let last = ''; ; await sleep(100)) {
  const found = look();
  if (found === undefined) continue;
  const line = JSON.stringify(found);
  if (line !== last) process.stdout.write(`${line}\n`);
  last = line;
}
