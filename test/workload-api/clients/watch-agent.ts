/**
 * Asks with a real `spire-agent` again and again (`api fetch x509`, `api fetch jwt`, `healthcheck`), and prints each change
 * as a line of JSON: `watch-agent.ts SPIRE_AGENT SOCKET`.
 */

import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificatesOf } from '../../../src/cli/der.ts';

interface X509 {
  readonly svids: readonly { readonly spiffe_id: string; readonly x509_svid: string; readonly bundle: string }[];
  readonly federated_bundles: Readonly<Record<string, string>>;
}

const [agent, socket] = process.argv.slice(2) as [string, string];

function ask(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(agent, [...args, '-socketPath', socket], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (status === 0) return stdout;
  throw new Error(/code = (\w+)/.exec(stderr)?.[1] ?? stderr.trim());
}

function look(): object {
  try {
    const { svids, federated_bundles: federated } = JSON.parse(ask('api', 'fetch', 'x509', '-output', 'json')) as X509;
    const certificates = (der: string) => certificatesOf(Buffer.from(der, 'base64'));
    const own = svids[0]!.spiffe_id.split('/', 3).join('/');
    const tokens = ask('api', 'fetch', 'jwt', '-audience', 'db');
    for (const { spiffe_id: id } of svids)
      if (!tokens.includes(`token(${id}):\n`)) throw new Error(`no token of ${id}`);
    // The pretty form is checked by the program: each certificate by its bundle.
    ask('api', 'fetch');
    return {
      ids: svids.map(({ spiffe_id: id }) => id),
      serial: certificates(svids[0]!.x509_svid)[0]!.serialNumber,
      domains: [own, ...Object.keys(federated)].sort(),
      roots: [svids[0]!.bundle, ...Object.values(federated)].flatMap(certificates).length,
      health: ask('healthcheck').trim(),
    };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

for (let last = ''; ; await sleep(100)) {
  const line = JSON.stringify(look());
  if (line !== last) process.stdout.write(`${line}\n`);
  last = line;
}
