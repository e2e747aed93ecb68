/** OIDC discovery of a test authority. */

import type { TestContext } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { startOidcProvider } from '../../src/oidc/provider.ts';
import { SECOND } from '../ca/support.ts';
import { openTestJwtSvids, REQUEST } from '../jwt/support.ts';
import { TestClock } from '../support/clock.ts';

/** How long a key is published before it signs, in seconds: consumers fetch the keys more often than that. */
const PUBLISH_BEFORE = 5;

export async function openProvider(t: TestContext, keyType: 'ec-p256' | 'ec-p384' | 'rsa-2048' = 'ec-p256') {
  const [port] = await freePorts(1);
  const issuer = `http://127.0.0.1:${port}/tokens`;
  const keys = { keyType, keyTtl: 3_600, publishBefore: PUBLISH_BEFORE };
  const all = await openTestJwtSvids(t, { issuer }, { jwt: keys }, new TestClock(Date.now()));
  const { ca, clock, log } = all;
  const listen = { host: '127.0.0.1', port: port! };
  const provider = await startOidcProvider({ listen, issuer, tls: undefined, ca, maxConnections: 10, clock, log });
  t.after(() => provider.close());
  let asked = 0;
  /** A new token each time. */
  const token = () => {
    asked += 1;
    return all.jwt.sign({ ...REQUEST, audiences: ['web', `${asked}`] });
  };
  return { ...all, issuer, port: port!, token };
}

export type Provider = Awaited<ReturnType<typeof openProvider>>;

/** Replaces the key. Returns the old one and the new one. */
export async function rotate({ ca, clock }: Provider): Promise<[string, string]> {
  const { keyId } = await ca.jwtSigner();
  await ca.rotate('jwt');
  clock.advance(PUBLISH_BEFORE * SECOND);
  let next = keyId;
  while (next === keyId) next = (await ca.jwtSigner()).keyId;
  return [keyId, next];
}
