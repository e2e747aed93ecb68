/** New JWT-SVIDs, each on record: how long one caller waits, and how many sixteen get. */

import path from 'node:path';
import { SystemClock } from '../../src/base/clock.ts';
import { openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import { TokenCounts } from '../../src/jwt/counts.ts';
import { TokenIssuer } from '../../src/jwt/issuer.ts';
import { JwtSvids } from '../../src/jwt/jwt-svids.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makePlace, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

/** Number of measured tokens of one caller; the tokens of the warm-up are not measured. */
const ALONE = 3_000;
const WARM_UP = 500;
const CALLERS = 16;
/** Tokens of each of the callers in one round. */
const EACH = 250;
const ROUNDS = 12;

export async function jwtTokens(cleanup: Cleanup): Promise<Figure[]> {
  const jwt = await open(cleanup);
  let asked = 0;
  const entry = { id: 'bench', jwtSvidTtl: 0, expiresAt: 0 };
  const spiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/bench`);
  const next = () => {
    asked += 1;
    return jwt.sign({ spiffeId, entry, audiences: [`audience-${asked}`] });
  };
  for (let i = 0; i < WARM_UP; i += 1) await next();
  const waits: number[] = [];
  for (let i = 0; i < ALONE; i += 1) {
    const begin = performance.now();
    await next();
    waits.push(performance.now() - begin);
  }
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const begin = performance.now();
    await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        for (let i = 0; i < EACH; i += 1) await next();
      }),
    );
    rates.push((CALLERS * EACH * 1000) / (performance.now() - begin));
  }
  const how =
    'a new token each (ES256), on record in SQLite (synchronous=FULL) before it is given out, without the pipe';
  const alone = { unit: 'ms', how: `${ALONE} in a row of one caller: ${how}` } as const;
  return [
    { name: 'jwt-token-p50', value: percentile(waits, 0.5), ...alone, compared_with: { reach: 'at most 1.5' } },
    { name: 'jwt-token-p99', value: percentile(waits, 0.99), ...alone, compared_with: { reach: 'at most 8' } },
    {
      name: 'jwt-tokens',
      value: percentile(rates, 0.5),
      unit: '1/s',
      compared_with: { reach: 'at least 8,000' },
      how: `median of ${ROUNDS} rounds of ${CALLERS} callers that ask for ${EACH} each, one after the other: ${how}`,
    },
  ];
}

async function open(cleanup: Cleanup): Promise<JwtSvids> {
  const { directory } = makePlace(cleanup);
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const store = openSqliteStore({ path: path.join(directory, 'bench.db'), trustDomain });
  cleanup.after(() => store.close());
  const log = createLog('warn');
  const clock = new SystemClock();
  const ca = await openCertificateAuthority({
    trustDomain,
    dir: path.join(directory, 'ca'),
    clock,
    log,
    issuanceLog: store.issuances,
    caTtl: 86_400,
    rootTtl: 31_536_000,
    rootPublishTime: 86_400,
    rootAckTimeout: 86_400,
    rootAckPolicy: 'wait',
    x509SvidTtl: 3_600,
    x509SvidKeyType: 'ec-p256',
    caKeyType: 'ec-p256',
    caSubject: 'O=SPIFFE',
    jwt: { keyType: 'ec-p256', keyTtl: 86_400, publishBefore: 900 },
  });
  cleanup.after(() => ca.close());
  const jwt = new JwtSvids({
    source: new TokenIssuer({ ca, clock, issuanceLog: store.issuances, issuer: undefined }),
    clock,
    log,
    issuances: store.issuances,
    counts: new TokenCounts(),
    counters: new Counters(),
    jwtSvidTtl: 300,
    maxJwtAudiences: 32,
    maxJwtSvidsPerSecondPerId: 1_000_000,
    maxCachedJwtSvidsPerId: 1_000,
  });
  cleanup.after(() => jwt.close());
  return jwt;
}
