/** A real SPIRE server as a peer. Opt-in: `SPIRE_BIN` names the directory with `spire-server`. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { type Ran, run } from '../support/run.ts';
import { tempDir } from '../support/temp-dir.ts';

export interface SpireServer {
  readonly trustDomain: string;
  /** Of its bundle endpoint, with the profile https_spiffe. */
  readonly endpointPort: number;
  /** A folder of its own, for files. */
  readonly folder: string;
  /** Runs `spire-server WORDS` against it. */
  ask(...words: string[]): Promise<Ran>;
}

/** Why there is none; undefined: there is one. */
export function whyNoSpireServer(): string | undefined {
  const dir = process.env.SPIRE_BIN;
  if (dir === undefined) return 'SPIRE_BIN does not name a directory with spire-server';
  return existsSync(path.join(dir, 'spire-server')) ? undefined : `${dir} has no spire-server`;
}

/** Starts one, to be ended with the test. */
export async function startSpireServer(
  t: TestContext,
  trustDomain: string,
  env: Readonly<Record<string, string>> = {},
): Promise<SpireServer> {
  const program = path.join(process.env.SPIRE_BIN!, 'spire-server');
  const folder = tempDir(t);
  const [port, endpointPort] = (await freePorts(2)) as [number, number];
  const at = (name: string) => path.join(folder, name);
  mkdirSync(at('data'), { mode: 0o700 });
  writeFileSync(
    at('server.conf'),
    `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${at('api.sock')}"
  trust_domain = "${trustDomain}"
  data_dir = "${at('data')}"
  log_level = "DEBUG"
  ca_ttl = "24h"
  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = ${endpointPort}
      refresh_hint = "1m"
      profile "https_spiffe" {}
    }
  }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${at('data/db.sqlite3')}" } }
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
}
`,
  );
  const child = spawn(program, ['run', '-config', at('server.conf')], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const ask = (...words: string[]) => run([program, ...words, '-socketPath', at('api.sock')]);
  await wait('SPIRE to answer', {
    look: async () => (await ask('healthcheck')).status,
    until: (status) => status === 0,
    within: 60_000,
  });
  return { trustDomain, endpointPort, folder, ask };
}
