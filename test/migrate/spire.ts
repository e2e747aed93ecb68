/** A real SPIRE server and agent for a test. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { type Ran, run } from '../support/run.ts';

export interface Spire {
  readonly server: string;
  readonly serverConfig: string;
  readonly agentConfig: string;
  readonly serverSocket: string;
  readonly agentSocket: string;
  /** The agent's SPIFFE ID. */
  readonly agentId: string;
  /** Runs `spire-server WORDS` against it. @throws Error with what it said */
  ask(...words: string[]): Promise<string>;
}

/** Why there is none: `SPIRE_BIN` names the directory with both programs. */
export function whyNoSpire(): string | undefined {
  const dir = process.env.SPIRE_BIN;
  if (dir === undefined)
    return 'SPIRE_BIN does not name a directory with spire-server and spire-agent (docs/migrate-spire.md)';
  const missing = ['spire-server', 'spire-agent'].find((name) => !existsSync(path.join(dir, name)));
  return missing === undefined ? undefined : `${dir} has no ${missing}`;
}

/** Starts both in this directory, to be ended with the test. */
export async function startSpire(t: TestContext, dir: string, trustDomain: string): Promise<Spire> {
  const programs = process.env.SPIRE_BIN!;
  const [serverPort] = await freePorts(1);
  const at = (name: string) => path.join(dir, name);
  for (const name of ['server', 'agent', 'public', 'private']) mkdirSync(at(name), { mode: 0o700 });
  const files = { server: at('server.conf'), agent: at('agent.conf') };
  const [serverSocket, agentSocket] = [at('private/api.sock'), at('public/api.sock')];
  writeFileSync(
    files.server,
    `server {
  bind_address = "127.0.0.1"
  bind_port = "${serverPort}"
  socket_path = "${serverSocket}"
  trust_domain = "${trustDomain}"
  data_dir = "${at('server')}"
  log_level = "INFO"
  ca_ttl = "24h"
  default_x509_svid_ttl = "1h"
  ca_subject {
    country = ["US"]
    organization = ["Example"]
    common_name = ""
  }
}

plugins {
  DataStore "sql" {
    plugin_data {
      database_type = "sqlite3"
      connection_string = "${at('server/datastore.sqlite3')}"
    }
  }
  KeyManager "disk" {
    plugin_data {
      keys_path = "${at('server/keys.json')}"
    }
  }
  NodeAttestor "join_token" {
    plugin_data {}
  }
}
`,
  );
  writeFileSync(
    files.agent,
    `agent {
  data_dir = "${at('agent')}"
  log_level = "INFO"
  server_address = "127.0.0.1"
  server_port = "${serverPort}"
  socket_path = "${agentSocket}"
  trust_domain = "${trustDomain}"
  insecure_bootstrap = true
  sds {
    default_bundle_name = "ROOTCA"
  }
}

plugins {
  NodeAttestor "join_token" {
    plugin_data {}
  }
  KeyManager "memory" {
    plugin_data {}
  }
  WorkloadAttestor "unix" {
    plugin_data {
      discover_workload_path = true
    }
  }
}
`,
  );
  const server = path.join(programs, 'spire-server');
  const ask = async (...words: string[]) => {
    const ran: Ran = await run([server, ...words, '-socketPath', serverSocket]);
    if (ran.status !== 0) throw new Error(`spire-server ${words.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  };
  start(t, [server, 'run', '-config', files.server]);
  await wait('the SPIRE server', {
    look: () => ask('healthcheck').catch((error: Error) => error.message),
    until: (said) => said.includes('healthy') && !said.includes('unhealthy'),
    within: 60_000,
  });
  const token = /Token: (\S+)/.exec(await ask('token', 'generate', '-spiffeID', `spiffe://${trustDomain}/host`))![1]!;
  start(t, [path.join(programs, 'spire-agent'), 'run', '-config', files.agent, '-joinToken', token]);
  await wait('the SPIRE agent', { look: async () => existsSync(agentSocket), until: Boolean, within: 60_000 });
  const agentId = `spiffe://${trustDomain}/spire/agent/join_token/${token}`;
  return { server, serverConfig: files.server, agentConfig: files.agent, serverSocket, agentSocket, agentId, ask };
}

function start(t: TestContext, [program, ...args]: readonly string[]): void {
  const child = spawn(program!, args, { stdio: 'ignore', cwd: '/' });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
}
