/** What is issued has the profile of X509-SVID, by the rules of three other implementations. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AUTHORITY_KEY_TYPES, SVID_KEY_TYPES } from '../../src/spiffe/key-types.ts';
import { tempDir } from '../support/temp-dir.ts';
import { makeCohorts } from './profile/cohorts.ts';
import { buildGoVerifier, verifyWithGo, verifyWithOpenSsl, verifyWithPeculiar, whyNot } from './profile/verifiers.ts';

const COUNT = 10_000;

describe('10,000 certificates of all types of keys', { concurrency: true }, () => {
  const made = makeCohorts(20_260_601, COUNT);

  it('are of every type, with and without DNS names, and near every limit of dates', async () => {
    const cohorts = await made;
    const leafs = cohorts.flatMap((cohort) => cohort.leafs);
    assert.equal(leafs.length, COUNT);
    for (const type of AUTHORITY_KEY_TYPES) {
      assert.ok(cohorts.some(({ root, intermediate }) => root.keyType === type && intermediate.keyType === type));
    }
    for (const type of SVID_KEY_TYPES) {
      for (const named of [true, false]) {
        assert.ok(leafs.some(({ request }) => request.keyType === type && request.dnsNames.length > 0 === named));
      }
    }
    const turn = Date.UTC(2050, 0, 1);
    for (const [from, until] of [
      [0, 0],
      [0, 1],
      [1, 1],
    ]) {
      assert.ok(
        leafs.some(({ leaf }) => Number(leaf.notBefore >= turn) === from && Number(leaf.notAfter >= turn) === until),
      );
    }
    assert.ok(leafs.some(({ leaf, request }) => leaf.notAfter - request.now <= 1000));
    assert.ok(
      cohorts.some(({ intermediate, leafs }) => leafs.some(({ leaf }) => leaf.notAfter === intermediate.notAfter)),
    );
  });

  it("pass openssl's strict verification, for servers and for clients", { skip: whyNot('openssl') }, async (t) => {
    const dir = tempDir(t);
    for (const [i, cohort] of (await made).entries()) await verifyWithOpenSsl(cohort, path.join(dir, `${i}`));
  });

  it('are read by @peculiar/x509 as they were requested', async () => {
    for (const cohort of await made) await verifyWithPeculiar(cohort);
  });

  it("pass Go's parser and verification, with all rules for leafs and signing certificates", {
    skip: whyNot('go'),
  }, async (t) => {
    const program = await buildGoVerifier(tempDir(t));
    assert.equal(await verifyWithGo(program, await made), COUNT);
  });
});
