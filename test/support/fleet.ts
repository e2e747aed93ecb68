/** A server with agents of Sidekey, each with a place of its own as on another host. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN, watch } from './serve.ts';

export const DOMAIN_ID = `spiffe://${TRUST_DOMAIN}`;

export interface Fleet {
  readonly server: Served;
  readonly port: number;
  /** Starts the server again, in the same place or another one. */
  begin(at?: Place): Promise<Served>;
}

export async function startFleet(t: Pick<TestContext, 'after'>, flags: readonly string[] = []): Promise<Fleet> {
  const [port] = (await freePorts(1)) as [number];
  const place = makePlace(t);
  const all = ['--agent-listen', `127.0.0.1:${port}`, ...flags];
  const begin = (at: Place = place) => serve(t, { place: at, flags: all });
  return { server: await begin(), port, begin };
}

export interface RunningAgent extends Served {
  /** Its alias, which entries name as their parent. */
  readonly hostId: string;
}

/** The flags by which an agent joins: with a token for this host, made on the server. */
export async function joining(server: Served, place: Place, hostId: string): Promise<string[]> {
  const { status, body } = await server.request('POST', '/v1/agents/tokens', { spiffe_id: hostId });
  assert.equal(status, 201, JSON.stringify(body));
  const bundle = await server.request('GET', '/v1/bundle', undefined, { accept: 'application/x-pem-file' });
  mkdirSync(place.directory, { recursive: true });
  const [tokenFile, bundleFile] = ['token', 'bundle.pem'].map((name) => path.join(place.directory, name));
  writeFileSync(tokenFile!, body.token, { mode: 0o600 });
  writeFileSync(bundleFile!, String(bundle.body));
  return ['--join-token-file', tokenFile!, '--trust-bundle', bundleFile!];
}

/** An agent that has joined and serves. @param host a name, part of its alias */
export async function startAgent(
  t: Pick<TestContext, 'after'>,
  { server, port }: Pick<Fleet, 'server' | 'port'>,
  host: string,
  flags: readonly string[] = [],
): Promise<RunningAgent> {
  const place = makePlace(t);
  const hostId = `${DOMAIN_ID}/host/${host}`;
  const agent = runAgent(t, place, port, [...(await joining(server, place, hostId)), ...flags]);
  await agent.logged('serving');
  return { ...agent, hostId };
}

/** Runs an agent in a place. It may not serve yet. */
export function runAgent(
  t: Pick<TestContext, 'after'>,
  place: Place,
  port: number,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Served {
  const agent = watch(spawnAgent(place, port, ['--log-level', 'debug', ...flags], env), place);
  t.after(() => agent.stop('SIGKILL'));
  return agent;
}

/** @param port the agent port of a server on loopback */
export function spawnAgent(
  { dataDir, socket, adminSocket, trustDomain = TRUST_DOMAIN }: Place,
  port: number,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const args = ['agent', 'run', '--trust-domain', trustDomain, '--server', `127.0.0.1:${port}`, '--data-dir', dataDir];
  args.push('--socket', socket, '--admin-socket', adminSocket, ...flags);
  if (!probeKernel().pinsPeers) args.push('--allow-unpinned-peers');
  return spawn(path.join(ROOT, 'bin/sidekey'), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}

/** An entry for processes of this user on the host of this parent. @returns its id */
export async function give(server: Served, spiffeId: string, parentId: string, more: object = {}): Promise<string> {
  const selectors = [`unix:uid:${process.getuid!()}`];
  const entry = { spiffe_id: spiffeId, selectors, parent_id: parentId, ...more };
  const { status, body } = await server.request('POST', '/v1/entries', entry);
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}
