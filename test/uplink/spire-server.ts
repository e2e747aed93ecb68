/** Real SPIRE servers for tests: `SPIRE_BIN` names the directory with `spire-server`. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { run } from '../support/run.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Why there is none. */
export function whyNoSpireServer(): string | undefined {
  const dir = process.env.SPIRE_BIN;
  if (dir === undefined) return 'SPIRE_BIN does not name a directory with spire-server (docs/hosts.md)';
  return existsSync(path.join(dir, 'spire-server')) ? undefined : `${dir} has no spire-server`;
}

export interface SpireServer {
  readonly port: number;
  /** What the command prints; its words are those after `spire-server`. */
  ask(...words: string[]): Promise<string>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** @param popCa PEM of the authorities of hosts, for x509pop */
export async function startSpireServer(t: TestContext, popCa?: string): Promise<SpireServer> {
  const program = path.join(process.env.SPIRE_BIN!, 'spire-server');
  const dir = tempDir(t);
  const [port] = await freePorts(1);
  const at = (name: string) => path.join(dir, name);
  mkdirSync(at('data'));
  if (popCa !== undefined) writeFileSync(at('pop.pem'), popCa);
  const pop =
    popCa === undefined ? '' : `NodeAttestor "x509pop" { plugin_data { ca_bundle_path = "${at('pop.pem')}" } }`;
  writeFileSync(
    at('server.conf'),
    `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  trust_domain = "ilinux.io"
  data_dir = "${at('data')}"
  log_level = "DEBUG"
  socket_path = "${at('api.sock')}"
  ca_ttl = "24h"
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${at('data/db.sqlite3')}" } }
  KeyManager "disk" { plugin_data { keys_path = "${at('data/keys.json')}" } }
  NodeAttestor "join_token" { plugin_data {} }
  ${pop}
}
`,
  );
  let stop: () => Promise<void> = () => Promise.resolve();
  const ask = async (...words: string[]) => {
    const { stdout, stderr } = await run([program, ...words, '-socketPath', at('api.sock')]);
    return stdout + stderr;
  };
  const start = async () => {
    const child = spawn(program, ['run', '-config', at('server.conf')], { stdio: 'ignore', cwd: '/' });
    const ended = once(child, 'close');
    stop = async () => {
      child.kill('SIGKILL');
      await ended;
    };
    await wait('the SPIRE server', {
      look: () => ask('healthcheck').catch(String),
      until: (text) => /healthy/.test(text) && !/unhealthy/i.test(text),
      within: 60_000,
    });
  };
  t.after(() => stop());
  await start();
  return { port: port!, ask, start, stop: () => stop() };
}
