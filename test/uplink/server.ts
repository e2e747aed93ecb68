/** A real server with an agent port, for the agents of a test. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { makePlace, type Place, type Served, serve } from '../support/serve.ts';

export interface Started {
  readonly server: Served;
  readonly port: number;
  /** Starts it again. */
  begin(at?: Place): Promise<Served>;
}

export async function startServer(t: TestContext, flags: readonly string[] = []): Promise<Started> {
  const [port] = await freePorts(1);
  const place = makePlace(t);
  const all = ['--agent-listen', `127.0.0.1:${port}`, '--root-publish-time', '0s', ...flags];
  const begin = (at: Place = place): Promise<Served> => serve(t, { place: at, flags: all });
  return { server: await begin(), port: port!, begin };
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
export async function ok(answer: ReturnType<Served['request']>): Promise<any> {
  const { status, body } = await answer;
  assert.ok(status < 300, JSON.stringify(body));
  return body;
}

const selectors = [`unix:uid:${process.getuid!()}`];

export function give(server: Served, spiffeId: string, parentId: string, more = {}) {
  return ok(server.request('POST', '/v1/entries', { spiffe_id: spiffeId, parent_id: parentId, selectors, ...more }));
}

export async function tokenOf(server: Served): Promise<{ token: string; id: string }> {
  const { token, agent_id: id } = await ok(server.request('POST', '/v1/agents/tokens', {}));
  return { token, id };
}

/** PEM. */
export async function bundleOf(server: Served): Promise<string> {
  const { body } = await server.request('GET', '/v1/bundle', undefined, { accept: 'application/x-pem-file' });
  return String(body);
}
