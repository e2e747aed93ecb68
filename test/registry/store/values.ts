/** Entries, bundles and aliases for the tests of stores. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import type { SidekeyError } from '../../../src/base/errors.ts';
import type { Agent, JoinToken } from '../../../src/registry/agent.ts';
import type { Alias } from '../../../src/registry/alias.ts';
import type { FederatedBundle } from '../../../src/registry/federated-bundle.ts';
import type { Relationship } from '../../../src/registry/relationship.ts';
import type { EntryWrite } from '../../../src/registry/store/entry-store.ts';
import type { Entry } from '../../../src/registry/types.ts';
import { makeTrustBundle } from '../../../src/spiffe/bundle.ts';
import { parseSpiffeId, parseTrustDomain, type SpiffeId } from '../../../src/spiffe/id.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { input } from '../support.ts';

const [one, two] = await Promise.all([makeCertificate({ name: 'one' }), makeCertificate({ name: 'two' })]);

/** `spiffe://ilinux.io/<id>` for unix:uid:1000, of source `api`, unless told otherwise. */
export function entry(id: string, more: Partial<Entry> = {}): Entry {
  return { ...input(id), id, createdAt: 1, updatedAt: 2, revisionNumber: 1, source: 'api', ...more };
}

/** The next revision of an entry. */
export function next(before: Entry, more: Partial<Entry> = {}): Entry {
  return { ...before, ...more, revisionNumber: before.revisionNumber + 1 };
}

export function write(parts: Partial<EntryWrite>): EntryWrite {
  return { create: [], update: [], delete: [], ...parts };
}

export function byId(entries: readonly Entry[]): Entry[] {
  return entries.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** With two roots, or one if `changed`. */
export function bundle(name: string, changed = false): FederatedBundle {
  const roots = (changed ? [two] : [one, two]).map(({ der }) => new X509Certificate(der));
  const publicKey = roots[0]!.publicKey.export({ format: 'jwk' });
  const trustBundle = makeTrustBundle({
    trustDomain: parseTrustDomain(name),
    roots,
    jwtAuthorities: changed ? [] : [{ keyId: 'a', publicKey }],
    sequenceNumber: changed ? 0 : 2 ** 53 - 1,
    refreshHint: changed ? undefined : 0,
  });
  return { ...trustBundle, source: 'manual', statedSequence: undefined, updatedAt: 1_900_000_000_001 };
}

/** A polled bundle with a number of 64 bits, or one that withdraws everything if `changed`. */
export function polledBundle(name: string, changed = false): FederatedBundle {
  const roots = changed ? [] : [new X509Certificate(one.der)];
  const trustBundle = makeTrustBundle({
    trustDomain: parseTrustDomain(name),
    roots,
    sequenceNumber: 7,
    refreshHint: 300,
  });
  return { ...trustBundle, source: 'polled', statedSequence: 2n ** 64n - 1n, updatedAt: 1_900_000_000_002 };
}

/** Of https_spiffe, or https_web if `changed`. */
export function relationship(name: string, changed = false): Relationship {
  const times = { createdAt: 1, updatedAt: 1_900_000_000_003 };
  const trustDomain = parseTrustDomain(name);
  const url = 'https://b.example:8443/a%2Fb?c=d';
  return changed
    ? { trustDomain, url, profile: 'https_web', endpointSpiffeId: undefined, endpointCa: one.pem, ...times }
    : {
        ...{ trustDomain, url, profile: 'https_spiffe', endpointCa: undefined, ...times },
        endpointSpiffeId: parseSpiffeId('spiffe://b.example/spire/server'),
      };
}

export function alias(name: string, changed = false): Alias {
  return { host: name, spiffeId: parseSpiffeId(`spiffe://ilinux.io/${changed}`), createdAt: 1, updatedAt: 2_000 };
}

export function agentId(name: string): SpiffeId {
  return parseSpiffeId(`spiffe://ilinux.io/spire/agent/${name}`);
}

export function agent(name: string, changed = false): Agent {
  return {
    id: agentId(name),
    attestationType: changed ? 'join_token' : 'x509pop',
    selectors: changed ? [] : [{ type: 'x509pop', value: 'subject:cn:host' }],
    alias: changed ? '' : parseSpiffeId('spiffe://ilinux.io/host'),
    ...{ serial: '01', notAfter: 1_900_000_000_000, newSerial: changed ? '' : '02', newNotAfter: changed ? 0 : 3 },
    ...{ canReattest: !changed, banned: changed, version: '1.13.3', createdAt: 1 },
  };
}

export function joinToken(hash: string, changed = false): JoinToken {
  return { hash, alias: changed ? '' : parseSpiffeId('spiffe://ilinux.io/host'), createdAt: 1, expiresAt: 2 };
}

/** Expects the error, with the present revision if that is given. */
export function refuses(promise: Promise<unknown>, code: string, present?: number): Promise<SidekeyError> {
  return promise.then(
    () => assert.fail(`expected ${code}`),
    (error: SidekeyError) => {
      assert.equal(error.code, code, String(error));
      if (present !== undefined) assert.equal(error.extra.revision_number, present);
      return error;
    },
  );
}
