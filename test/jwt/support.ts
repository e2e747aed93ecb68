/** JWT-SVIDs of a test authority. */

import type { TestContext } from 'node:test';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import type { CertificateAuthorityOptions } from '../../src/ca/certificate-authority.ts';
import { TokenCounts } from '../../src/jwt/counts.ts';
import { TokenIssuer, type TokenIssuerOptions } from '../../src/jwt/issuer.ts';
import { JwtSvids, type JwtSvidsOptions } from '../../src/jwt/jwt-svids.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { openTestAuthority } from '../ca/support.ts';
import { TestClock } from '../support/clock.ts';

export const WEB = parseSpiffeId('spiffe://ilinux.io/web');
export const ENTRY = { id: 'web', jwtSvidTtl: 0, expiresAt: 0 };
export const REQUEST = { spiffeId: WEB, entry: ENTRY, audiences: ['db'] };

/** Seconds. */
export const JWT = { keyType: 'ec-p256', keyTtl: 86_400, publishBefore: 900 } as const;

export interface TestJwtSvids extends Awaited<ReturnType<typeof openTestAuthority>> {
  readonly jwt: JwtSvids;
  /** The records of tokens, one list a write. */
  readonly written: IssuanceRecord[][];
}

export async function openTestJwtSvids(
  t: TestContext,
  overrides: Partial<JwtSvidsOptions & TokenIssuerOptions> = {},
  authorityOverrides: Partial<Omit<CertificateAuthorityOptions, 'clock'>> = {},
  clock = new TestClock(),
): Promise<TestJwtSvids> {
  const authority = await openTestAuthority(t, { jwt: JWT, ...authorityOverrides }, clock);
  const written: IssuanceRecord[][] = [];
  const jwt = new JwtSvids({
    source: new TokenIssuer({
      ca: authority.ca,
      clock: authority.clock,
      issuanceLog: {
        async recordIssuances(records) {
          written.push([...records]);
        },
      },
      issuer: undefined,
      ...overrides,
    }),
    clock: authority.clock,
    log: authority.log,
    issuances: { pruneTokens: async () => 0 },
    counts: new TokenCounts(),
    counters: new Counters(),
    jwtSvidTtl: 300,
    maxJwtAudiences: 32,
    maxJwtSvidsPerSecondPerId: 50,
    maxCachedJwtSvidsPerId: 1000,
    ...overrides,
  });
  t.after(() => jwt.close());
  return { ...authority, jwt, written };
}

/** A part of a token as JSON. */
export function partOf(token: string, index: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[index]!, 'base64url').toString('utf8'));
}
