/** Runs the real thing: `bin/sidekey agent run` in directories of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { probeKernel } from '../../src/attest/kernel.ts';
import { makePlace, type Place, ROOT, type Served, TRUST_DOMAIN, watch } from './serve.ts';

interface AgentOptions {
  /** Of the agent port of a server. */
  readonly port: number;
  readonly place?: Place;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** @param place of the agent, not of its server */
export function spawnAgent(place: Place, { port, flags = [], env = {} }: Omit<AgentOptions, 'place'>): ChildProcess {
  const { dataDir, socket, adminSocket, trustDomain = TRUST_DOMAIN } = place;
  const args = ['agent', 'run', '--trust-domain', trustDomain, '--server', `127.0.0.1:${port}`, ...flags];
  args.push('--data-dir', dataDir, '--socket', socket, '--admin-socket', adminSocket);
  // So that tests run on kernels before 6.5 too.
  if (!probeKernel().pinsPeers) args.push('--allow-unpinned-peers');
  return spawn(path.join(ROOT, 'bin/sidekey'), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}

/** Starts an agent and waits until it serves. */
export async function runAgent(t: Pick<TestContext, 'after'>, options: AgentOptions): Promise<Served> {
  const place = options.place ?? makePlace(t);
  const agent = watch(spawnAgent(place, options), place);
  t.after(() => agent.stop('SIGKILL'));
  await agent.logged('serving');
  return agent;
}
