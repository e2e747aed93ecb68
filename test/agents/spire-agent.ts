/** Real SPIRE agents for tests: `SPIRE_BIN` names the directory with `spire-agent`. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { run } from '../support/run.ts';

/** Why there is none. */
export function whyNoSpireAgent(): string | undefined {
  const dir = process.env.SPIRE_BIN;
  if (dir === undefined) return 'SPIRE_BIN does not name a directory with spire-agent (docs/hosts.md)';
  return existsSync(path.join(dir, 'spire-agent')) ? undefined : `${dir} has no spire-agent`;
}

export interface SpireAgentOptions {
  /** An absolute directory of its own, with a short path. */
  readonly dir: string;
  readonly port: number;
  /** PEM; by default it trusts the first server that it meets. */
  readonly bundle?: string;
  /** Its node attestor, in HCL. */
  readonly attestor?: string;
  readonly joinToken?: string;
}

export interface SpireAgent {
  /** Its log so far. */
  log(): string;
  /** Waits until the log matches. */
  said(what: RegExp): Promise<string>;
  /** Resolves with its exit status. */
  readonly ended: Promise<number | null>;
  readonly isRunning: boolean;
  /** The SPIFFE IDs that this process gets from its Workload API; empty: none. */
  fetch(): Promise<string[]>;
  /** What `spire-agent api fetch …` says. */
  ask(...words: string[]): Promise<string>;
  stop(): Promise<void>;
}

export async function startSpireAgent(t: TestContext, options: SpireAgentOptions): Promise<SpireAgent> {
  const { dir, port, bundle, attestor = 'NodeAttestor "join_token" { plugin_data {} }', joinToken } = options;
  const program = path.join(process.env.SPIRE_BIN!, 'spire-agent');
  const at = (name: string) => path.join(dir, name);
  for (const name of ['agent', 'public']) mkdirSync(at(name), { recursive: true, mode: 0o700 });
  if (bundle !== undefined) writeFileSync(at('bundle.pem'), bundle);
  const trust = bundle === undefined ? 'insecure_bootstrap = true' : `trust_bundle_path = "${at('bundle.pem')}"`;
  writeFileSync(
    at('agent.conf'),
    `agent {
  data_dir = "${at('agent')}"
  log_level = "DEBUG"
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${at('public/api.sock')}"
  trust_domain = "ilinux.io"
  ${trust}
  experimental { sync_interval = "200ms" }
}
plugins {
  ${attestor}
  KeyManager "disk" { plugin_data { directory = "${at('agent')}" } }
  WorkloadAttestor "unix" { plugin_data {} }
}
`,
  );
  const words = joinToken === undefined ? [] : ['-joinToken', joinToken];
  const child = spawn(program, ['run', '-config', at('agent.conf'), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  });
  let text = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
  }
  const ended = (once(child, 'close') as Promise<[number | null]>).then(([status]) => status);
  const stop = () => end(child, ended);
  t.after(stop);
  const socket = at('public/api.sock');
  const ask = async (...asked: string[]) => {
    const { stdout, stderr } = await run([program, 'api', 'fetch', ...asked, '-socketPath', socket, '-timeout', '2s']);
    return stdout + stderr;
  };
  const agent: SpireAgent = {
    log: () => text,
    said: async (what) => {
      await wait(`the agent to say ${what}`, { look: async () => what.test(text), until: Boolean, within: 60_000 });
      return text;
    },
    ended,
    get isRunning() {
      return child.exitCode === null && child.signalCode === null;
    },
    fetch: async () => [...(await ask('x509')).matchAll(/SPIFFE ID:\s+(\S+)/g)].map(([, id]) => id!).sort(),
    ask,
    stop,
  };
  return agent;
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL');
  await ended;
}
