/**
 * Revocation on the newest and the oldest Envoy; no Sidekey runs here. The tables of `revocation-matrix/tables.ts` show
 * which lists a bundle needs, and what ends the sessions of a revoked client.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pinnedVersions } from '../../scripts/find-envoy.ts';
import { envoyForTests } from '../support/envoy.ts';
import { contextSecret, listsBesideSecret, withUnreadableList } from './revocation-matrix/contexts.ts';
import { endLeaf, endList } from './revocation-matrix/endings.ts';
import { connect, echo, type Greeted } from './revocation-matrix/greeting.ts';
import { BAD_SERVER, OK, REFUSED, tryLeaf, verifyRow } from './revocation-matrix/leaves.ts';
import { type LeafName, makePki, REVOKED } from './revocation-matrix/pki.ts';
import { endsSessions, followSessions } from './revocation-matrix/sessions.ts';
import { type ContextName, Stage } from './revocation-matrix/stage.ts';
import {
  EPOCHS,
  EVERY_AUTHORITY,
  LEAF_ONLY,
  OVERLAP,
  type Row,
  SESSIONS,
  TWO_LISTS,
} from './revocation-matrix/tables.ts';
import { KEPT } from './revocation-matrix/upstream.ts';

const GOOD = 'leaf of I';
const LISTS = 'R + CRL(R) + CRL(I)';

const TABLES: readonly (readonly [contexts: readonly ContextName[], rows: readonly Row<LeafName>[]])[] = [
  [['spiffe', 'plain'], EVERY_AUTHORITY],
  [['spiffe', 'plain'], OVERLAP],
  [['spiffe', 'plain'], TWO_LISTS],
  [['plain, leaf only'], LEAF_ONLY],
];

async function acceptsOtherDomain(stage: Stage): Promise<void> {
  await stage.push(contextSecret('spiffe', 'spiffe', stage.pki.bundle(LISTS), stage.pki.otherDomain));
  assert.deepEqual(await tryLeaf(stage, 'spiffe', 'leaf of another domain'), OK);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', GOOD), OK);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), REFUSED);
}

async function ignoresListsBeside(stage: Stage): Promise<void> {
  await stage.push(listsBesideSecret('spiffe', stage.pki.bundle('R'), stage.pki.bundle(LISTS)));
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), OK);
}

async function refusesBadList(stage: Stage): Promise<void> {
  const bad = withUnreadableList(stage.pki.bundle(LISTS));
  await Promise.all([stage.pushBundle('spiffe', LISTS), stage.pushBundle('plain', LISTS)]);
  assert.match(await stage.pushBad('spiffe', bad), /Failed to load trusted CA certificate for ilinux\.io/);
  assert.match(await stage.pushBad('plain', bad), /Failed to load CRL from <inline>/);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', GOOD), OK);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), REFUSED);
  assert.deepEqual(await tryLeaf(stage, 'plain', GOOD), OK);
  assert.equal(await stage.asServer('plain', REVOKED), 'certificate_revoked');
  await Promise.all([stage.pushBundle('spiffe', 'R'), stage.pushBundle('plain', 'R')]);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), OK);
  assert.deepEqual(await tryLeaf(stage, 'plain', REVOKED), OK);
}

async function needsGoodCertificate(stage: Stage): Promise<void> {
  await stage.pushBundle('spiffe', 'R');
  assert.match(await stage.pushBadServer(), /KEY_VALUES_MISMATCH/);
  assert.match(await stage.pushBad('spiffe', stage.pki.bundle(LISTS)), /KEY_VALUES_MISMATCH/);
  // Its clusters have no certificate of their own, and take the bundle.
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), { asServer: 'ok', asClient: BAD_SERVER });
  await stage.pushServer();
  assert.deepEqual(await tryLeaf(stage, 'spiffe', REVOKED), REFUSED);
  assert.deepEqual(await tryLeaf(stage, 'spiffe', GOOD), OK);
}

async function keepsConnections(stage: Stage, context: 'spiffe' | 'plain'): Promise<void> {
  await stage.pushBundle(context, 'R');
  const downstream = (await connect(stage.port(context), stage.client(REVOKED))) as Greeted;
  const upstream = await stage.pass(context, REVOKED, KEPT);
  assert.equal(upstream.status, 200);
  await stage.pushBundle(context, LISTS);
  assert.equal(await echo(downstream, 'still there'), 'still there');
  downstream.socket.destroy();
  const { status, port } = await stage.pass(context, REVOKED);
  assert.deepEqual({ status, port }, { status: 200, port: upstream.port });
  const { asServer, asClient } = await tryLeaf(stage, context, REVOKED);
  assert.notEqual(asServer, 'ok');
  assert.equal(asClient, BAD_SERVER);
}

const versions = await pinnedVersions();
const pki = await makePki();

describe('a real Envoy', { concurrency: 2 }, async () => {
  for (const version of [versions[0]!, versions.at(-1)!]) {
    const found = await envoyForTests(version);
    it(version, { skip: found.skip, timeout: 240_000 }, async (t) => {
      if (found.skip !== false) return;
      const stage = await Stage.set(t, found.envoy.path, pki);
      const test = (does: string, run: (stage: Stage) => Promise<void>) => t.test(does, () => run(stage));
      const endings = await Promise.all([
        endList(stage, 'spiffe, ending'),
        endList(stage, 'plain, ending'),
        endLeaf(stage),
      ]);

      for (const [contexts, rows] of TABLES) {
        for (const row of rows) {
          await test(`verifies by ${row.push}, ${contexts.join(' and ')}`, () => verifyRow(stage, contexts, row));
        }
      }
      await test('accepts another trust domain, which has no lists', acceptsOtherDomain);
      await test('ignores lists beside the SPIFFE validator', ignoresListsBeside);
      await test('refuses a bundle with an unreadable list, and keeps the one before', refusesBadList);
      await test('as a server, takes no bundle after a bad certificate until a good one', needsGoodCertificate);
      for (const validator of ['spiffe', 'plain'] as const) {
        await test(`keeps open connections, ${validator}`, () => keepsConnections(stage, validator));
        await test(`as a client, ends sessions with any push, ${validator}`, () => endsSessions(stage, validator));
      }
      await t.test('answers a revoked client that has a session', (sessions) =>
        followSessions(sessions, stage, 'R', SESSIONS),
      );
      await t.test('answers a revoked client whose session began with an epoch', (sessions) =>
        followSessions(sessions, stage, 'R + CRL(R) + empty CRL(I) + epoch 1', EPOCHS),
      );
      const [ofSpiffe, ofPlain, ofLeaf] = endings;
      await test('refuses good leaves once a list has ended, spiffe', ofSpiffe);
      await test('refuses good leaves once a list has ended, plain', ofPlain);
      await test('with given ticket keys, resumes a session whose certificate has ended', ofLeaf);
    });
  }
});
