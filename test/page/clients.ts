/** Scripted proxies in each state, for pages that show them. */

import assert from 'node:assert/strict';
import { SdsClient, type SdsStream } from '../support/sds-client.ts';
import { type Served, TRUST_DOMAIN } from '../support/serve.ts';
import type { Cleanup } from './support.ts';

export const DOMAIN = `spiffe://${TRUST_DOMAIN}`;
export const WEB = `${DOMAIN}/web`;

/** An entry that gives this process, and every other one of its user, a SPIFFE ID. */
export async function createEntry(server: Served, spiffeId = WEB): Promise<string> {
  const selectors = [`unix:uid:${process.getuid!()}`];
  const { status, body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

export interface Scripted {
  readonly client: SdsClient;
  readonly stream: SdsStream;
}

interface ScriptedOptions {
  readonly node: string;
  /** The error text of its NACK, `ack`, or no answer. */
  readonly answer: 'ack' | 'none' | { readonly nack: string };
  readonly name?: string;
}

/** A proxy that asks for one name, and answers the first response. */
export async function connectProxy(t: Cleanup, server: Served, options: ScriptedOptions): Promise<Scripted> {
  const { node, answer, name = WEB } = options;
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  const stream = client.stream();
  stream.send({ resourceNames: [name], node: { id: node, cluster: 'front' } });
  if (answer === 'none') return { client, stream };
  const response = await stream.next();
  if (answer === 'ack') stream.ack(response);
  else stream.nack(response, answer.nack);
  return { client, stream };
}
