/**
 * The same as entry-to-go-spiffe, against a real SPIRE on this machine: from the end of `spire-server entry create` to a
 * waiting go-spiffe having the identity. Only where `$SPIRE_SERVER` and `$SPIRE_AGENT` name its programs.
 */

import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { CLIENTS, prepared } from '../../test/workload-api/clients/clients.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const run = promisify(execFile);
const TIMES = Number(process.env.BENCH_ENTRIES || 10);

export async function entryToSpire(cleanup: Cleanup): Promise<Figure[]> {
  const { SPIRE_SERVER: serverProgram, SPIRE_AGENT: agentProgram } = process.env;
  if (!serverProgram || !agentProgram) {
    console.error('entry-to-spire is left out: SPIRE_SERVER and SPIRE_AGENT name no programs');
    return [];
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-spire-'));
  cleanup.after(() => rmSync(folder, { recursive: true, force: true }));
  const [port] = await freePorts(1);
  const serverSocket = path.join(folder, 'server.sock');
  const agentSocket = path.join(folder, 'agent.sock');
  for (const name of ['server', 'agent']) mkdirSync(path.join(folder, name));
  writeFileSync(path.join(folder, 'server.conf'), serverConfig(folder, port!, serverSocket));
  writeFileSync(path.join(folder, 'agent.conf'), agentConfig(folder, port!, agentSocket));
  const start = (program: string, ...args: string[]) => {
    const child = spawn(program, ['run', ...args], { stdio: 'ignore' });
    cleanup.after(() => child.kill('SIGKILL'));
  };
  const server = async (...args: string[]) => (await run(serverProgram, [...args, '-socketPath', serverSocket])).stdout;
  start(serverProgram, '-config', path.join(folder, 'server.conf'));
  await healthy(() => server('healthcheck'));
  const token = /Token: (\S+)/.exec(await server('token', 'generate', '-spiffeID', 'spiffe://example.org/agent'))![1]!;
  start(agentProgram, '-config', path.join(folder, 'agent.conf'), '-joinToken', token);
  await healthy(() => run(agentProgram, ['healthcheck', '-socketPath', agentSocket]));

  const goSpiffe = CLIENTS.find(({ name }) => name === 'go-spiffe')!;
  const found = await prepared(goSpiffe, agentSocket);
  if ('skip' in found) throw new Error(found.skip);
  const sample: number[] = [];
  while (sample.length < TIMES) {
    const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: goSpiffe.endpoint(agentSocket) };
    const child = spawn(found.command[0]!, found.command.slice(1), { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const until = async (member: 'ids' | 'error') => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) throw new Error('go-spiffe has ended');
        if ((JSON.parse(value) as Record<string, unknown>)[member] !== undefined) return;
      }
    };
    await until('error');
    const selectors = ['-selector', `unix:uid:${process.getuid!()}`, '-parentID', 'spiffe://example.org/agent'];
    const begun = performance.now();
    const made = await server('entry', 'create', '-spiffeID', 'spiffe://example.org/bench', ...selectors);
    await until('ids');
    sample.push(performance.now() - begun);
    child.kill('SIGKILL');
    await server('entry', 'delete', '-entryID', /Entry ID +: (\S+)/.exec(made)![1]!);
    await healthy(async () => {
      const left = await run(agentProgram, ['api', 'fetch', '-silent', '-socketPath', agentSocket]).catch(
        () => undefined,
      );
      if (left !== undefined) throw new Error('the agent still gives the identity');
    });
  }
  const how = `${TIMES} times: an entry made by spire-server entry create (its time is included), while go-spiffe 2.9.0 waits and tries again, until its program prints the update; server and agent on this machine, with their defaults`;
  return [
    { name: 'entry-to-spire-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: {}, how },
    { name: 'entry-to-spire-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: {}, how },
  ];
}

async function healthy(ask: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await ask();
      return;
    } catch (error) {
      if (tries === 300) throw error;
      await sleep(200);
    }
  }
}

function serverConfig(folder: string, port: number, socket: string): string {
  return `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${socket}"
  trust_domain = "example.org"
  data_dir = "${folder}/server"
  log_level = "WARN"
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = "${folder}/server/db.sqlite3" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
`;
}

function agentConfig(folder: string, port: number, socket: string): string {
  return `agent {
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${socket}"
  trust_domain = "example.org"
  data_dir = "${folder}/agent"
  insecure_bootstrap = true
  log_level = "WARN"
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
}
