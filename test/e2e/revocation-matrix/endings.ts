/** Lists and certificates that end while the tests run. */

import assert from 'node:assert/strict';
import tls from 'node:tls';
import { wait } from '../../../envoy-examples/demo/expect.ts';
import { type Greeted, greet } from './greeting.ts';
import { OK, tryLeaf } from './leaves.ts';
import { outcomeOf, pushToSessions } from './sessions.ts';
import type { ContextName, Stage } from './stage.ts';

const LIFE_MS = 3_000;

/** Calls `begin` with a time soon, on a whole second; again with a later one if that has come before it is done. */
async function beginBefore<T>(
  begin: (end: number) => Promise<T>,
): Promise<{ readonly end: number; readonly begun: T }> {
  for (let life = LIFE_MS; ; life *= 2) {
    const end = Math.floor((Date.now() + life) / 1_000) * 1_000;
    const begun = await begin(end);
    if (Date.now() < end) return { end, begun };
  }
}

/** Gives a context a list that ends soon. @return waits until good leaves are refused because of it */
export async function endList(stage: Stage, context: ContextName): Promise<() => Promise<void>> {
  const look = () => tryLeaf(stage, context, 'leaf of I');
  const { end, begun } = await beginBefore(async (nextUpdate) => {
    await stage.pushBundle(context, await stage.pki.bundleUntil(nextUpdate));
    return look();
  });
  assert.deepEqual(begun, OK);
  return async () => {
    const until = ({ asServer, asClient }: typeof OK) => asServer !== 'ok' && asClient !== 'ok';
    await wait('good leaves to be refused', { look, until });
    assert.ok(Date.now() >= end);
  };
}

/**
 * Lets a client whose certificate ends soon get a session, with ticket keys from a file and the bundle R.
 * @return waits until its certificate is refused, and resumes the session
 */
export async function endLeaf(stage: Stage): Promise<() => Promise<void>> {
  const port = stage.port('spiffe, sessions', 'file');
  const { begun } = await beginBefore(async (notAfter) => {
    const client = tls.createSecureContext({ ...(await stage.pki.leafUntil(notAfter)), ca: stage.pki.serverRoot });
    return { client, result: await greet(port, client) };
  });
  const { session } = begun.result as Greeted;
  assert.ok(session);
  return async () => {
    await pushToSessions(stage, 'R');
    const look = async () => outcomeOf(await greet(port, begun.client));
    await wait('the certificate to be refused', { look, until: (outcome) => outcome === 'refused' });
    assert.equal(outcomeOf(await greet(port, begun.client, session)), 'resumed');
    await pushToSessions(stage, 'R + epoch 3');
    assert.equal(outcomeOf(await greet(port, begun.client, session)), 'refused');
  };
}
