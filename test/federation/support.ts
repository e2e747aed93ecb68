/** A poller on a real registry. */

import type { TestContext } from 'node:test';
import { type OpenFederation, openFederation } from '../../src/federation/open.ts';
import type { Federation } from '../../src/federation/relationships.ts';
import { type GivenRelationship, parseRelationship } from '../../src/registry/relationship-input.ts';
import type { Registry } from '../../src/registry/types.ts';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { open, TRUST_DOMAIN } from '../registry/support.ts';
import type { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

export const OTHER = parseTrustDomain('other.example');
export const ID = 'spiffe://other.example/spire/server';
export const LOOPBACK = [{ address: '127.0.0.0', prefix: 8 }];

export interface Polling {
  readonly federation: Federation;
  readonly registry: Registry;
  readonly clock: TestClock;
  /** Lines of the log. */
  readonly lines: readonly Record<string, unknown>[];
  create(body: Record<string, unknown>): ReturnType<Federation['set']>;
  close(): Promise<void>;
}

export async function startPolling(t: TestContext, more: Partial<OpenFederation> = {}): Promise<Polling> {
  const { registry, clock } = await open(t);
  clock.advanceTo(Date.now());
  const { log, lines } = recordingLog();
  const own = makeTrustBundle({ trustDomain: TRUST_DOMAIN, roots: [], sequenceNumber: 1, refreshHint: 300 });
  const opened = openFederation({
    ...{ registry, ca: { bundle: () => own }, clock, log, minRefresh: 1, allowed: LOOPBACK, random: () => 0 },
    ...more,
  });
  t.after(() => opened.close());
  return {
    federation: opened.federation,
    registry,
    clock,
    lines,
    create: (body) => opened.federation.set(given(body), { as: 'create', bundle: 'replace' }),
    close: () => opened.close(),
  };
}

export function given(body: Record<string, unknown>): GivenRelationship {
  return parseRelationship(body, { own: TRUST_DOMAIN, now: Date.now(), warn: () => undefined });
}

/** A relationship of https_spiffe, with the bundle by which its endpoint is known. */
export function spiffe(url: string, pem?: string, more: object = {}): Record<string, unknown> {
  return {
    trust_domain: OTHER,
    bundle_endpoint_url: url,
    bundle_endpoint_profile: 'https_spiffe',
    endpoint_spiffe_id: ID,
    ...(pem === undefined ? {} : { trust_domain_bundle: pem }),
    ...more,
  };
}

export function web(url: string, ca: string | null, more: object = {}): Record<string, unknown> {
  return {
    trust_domain: OTHER,
    bundle_endpoint_url: url,
    bundle_endpoint_profile: 'https_web',
    endpoint_ca: ca,
    ...more,
  };
}
