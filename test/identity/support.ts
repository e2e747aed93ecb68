/** A join with a real store and a real authority; callers are scripted, time is the test's. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { makeAttestation } from '../../src/attest/attestation.ts';
import { isKeptIfAsked } from '../../src/attest/selector-kinds.ts';
import type { Attestation, KnownSelectors, Peer } from '../../src/attest/types.ts';
import { openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import type { CertificateAuthority } from '../../src/ca/types.ts';
import type { Grant } from '../../src/identity/grant.ts';
import { Identities } from '../../src/identity/identities.ts';
import { Owners } from '../../src/limits/owner.ts';
import { parseEntryInput } from '../../src/registry/entry-input.ts';
import { openRegistry } from '../../src/registry/registry.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import type { Registry } from '../../src/registry/types.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { RequestMetadata } from '../../src/wire/metadata.ts';
import { TestClock } from '../support/clock.ts';

export const TRUST_DOMAIN = parseTrustDomain('ilinux.io');
export const log = createLog('silent');

export interface Join {
  readonly clock: TestClock;
  readonly registry: Registry;
  readonly ca: CertificateAuthority;
  readonly identities: Identities;
  /** Awaited after each issuance is recorded, before its SVID is handed out; set by tests. */
  readonly hook: { onRecorded: (serials: readonly string[]) => Promise<unknown> };
  /** Serials of all that was issued so far, the newest first. */
  issued(): Promise<string[]>;
  create(path: string, selectors: readonly string[], more?: Record<string, unknown>): Promise<Grant>;
}

export async function makeJoin(t: TestContext, bundleFor: 'identified' | 'anyone' = 'identified'): Promise<Join> {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-'));
  const clock = new TestClock();
  const hook: Join['hook'] = { onRecorded: async () => undefined };
  const store = openSqliteStore({ path: path.join(directory, 'sidekey.db'), trustDomain: TRUST_DOMAIN });
  const registry = await openRegistry({ store, trustDomain: TRUST_DOMAIN, clock, log });
  const ca = await openCertificateAuthority({
    trustDomain: TRUST_DOMAIN,
    dir: path.join(directory, 'ca'),
    clock,
    log,
    issuanceLog: {
      recordIssuances: async (records) => {
        await store.issuances.recordIssuances(records);
        await hook.onRecorded(records.map(({ serial }) => serial));
      },
    },
    caTtl: 86_400,
    rootTtl: 315_576_000,
    rootPublishTime: 86_400,
    rootAckTimeout: 86_400,
    rootAckPolicy: 'wait',
    x509SvidTtl: 3_600,
    x509SvidKeyType: 'ec-p256',
    caKeyType: 'ec-p256',
    caSubject: 'C=CN,O=SPIFFE',
    random: () => 0.5,
  });
  const lazyKinds = ['unix:sha256'];
  const identities = new Identities({ registry, ca, clock, log, bundleFor, lazyKinds, isKeptIfAsked });
  t.after(async () => {
    identities.close();
    await ca.close();
    await registry.close();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const rules = {
    trustDomain: TRUST_DOMAIN,
    allowWeakSelectors: true,
  };
  return {
    clock,
    registry,
    ca,
    identities,
    hook,
    issued: async () => (await store.issuances.newest({ limit: 1_000 })).map(({ serial }) => serial),
    async create(name, selectors, more = {}) {
      const json = { spiffe_id: `spiffe://${TRUST_DOMAIN}${name}`, selectors: selectors.map(splitSelector), ...more };
      const [entry] = await registry.create([parseEntryInput(json, rules)], 'api');
      // An entry with a template is none; its tests look at what callers get.
      return entry as Grant;
    },
  };
}

export const NO_METADATA = new RequestMetadata([]);

/** A call of this peer, the only one on its connection, whose memory nobody counts. */
export function callOf<P extends Peer>(peer: P) {
  const ignore = () => undefined;
  const untilEnd = <T>(work: Promise<T>) => work;
  return { peer, hold: ignore, release: ignore, untilEnd, connection: { defer: ignore, resume: ignore } };
}

/** A caller whose facts the test sets. */
export class ScriptedPeer implements Peer {
  readonly id = 'scripted';
  readonly credentials = { pid: 1, uid: 0, gid: 0 };
  readonly owner = new Owners().user(0);
  gone = false;
  attestations = 0;
  /** A reading that begins ends no sooner than this. */
  gate: Promise<unknown> = Promise.resolve();
  /** What the next attestations find; an error makes them fail. */
  facts: readonly string[] | Error;
  /** The values of placeholders that the next attestations find. */
  values: Readonly<Record<string, string | { readonly why: string }>> = {};
  /** Why it counts as contained at the next attestation. */
  contained: string | undefined;
  readonly #listeners: (() => void)[] = [];
  #reading: Promise<Attestation> | undefined;

  constructor(...facts: string[]) {
    this.facts = facts;
  }

  attest(): Promise<Attestation> {
    this.#reading ??= this.#attest().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #attest(): Promise<Attestation> {
    this.attestations += 1;
    await this.gate;
    await nextTurn();
    if (this.facts instanceof Error) throw this.facts;
    const found = this.facts.map((fact) => splitSelector(fact)!);
    const values = Object.entries(this.values).map(
      ([name, value]) => [name, typeof value === 'string' ? { value } : value] as const,
    );
    return makeAttestation(found, this.contained, new Map(values));
  }

  /** What is remembered, without an attestation, of the facts that it has. */
  remembered: readonly string[] | undefined;

  verify(): void {}

  known(type: string): KnownSelectors | undefined {
    const given = this.remembered?.map((fact) => splitSelector(fact)!).filter((selector) => selector.type === type);
    return given && { given, alike: [] };
  }

  onGone(listener: () => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.gone = true;
    for (const listener of this.#listeners) listener();
  }
}

/** Lets what is under way go on, turn by turn of the event loop, until the condition holds; fails after 10 s. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${condition}`);
    await nextTurn();
  }
}
