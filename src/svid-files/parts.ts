/** The parts of a plan: what is fetched for each, and which files it fills. */

import type { Clock } from '../base/index.ts';
import type { JWTBundlesResponse, X509SVIDResponse } from '../gen/workload.ts';
import { domainOf, jwtBundlePart, jwtPart, type Part, x509Part } from './contents.ts';
import { type Feed, type FeedListener, streamFeed, tokenFeed } from './feeds.ts';
import type { FilePlan, FilesPlan } from './plan.ts';
import type { Kind } from './reaction.ts';
import type { SvidSource } from './source.ts';

export interface PartPlan {
  readonly kind: Kind;
  readonly files: readonly FilePlan[];
  /** Begins to fetch. */
  start(listener: FeedListener): Feed;
}

/** @param x509 the X.509 part, if it was received */
export function partsOf(plan: FilesPlan, source: SvidSource, clock: Clock, x509: () => Part | undefined): PartPlan[] {
  const { choice, x509: certificates, jwts, jwtBundle } = plan;
  const parts: PartPlan[] = [];
  if (certificates !== undefined) {
    parts.push({
      kind: 'x509',
      files: [certificates.certificate, certificates.key, certificates.bundle],
      start: (listener) =>
        streamFeed(
          (on) => source.watchX509Svids(on),
          (message: X509SVIDResponse) => x509Part(message, certificates, choice, clock.now()),
          { clock, ...listener },
        ),
    });
  }
  for (const jwt of jwts) {
    const fetch = async () =>
      jwtPart(await source.jwtSvids(jwt.audiences, choice.spiffeId ?? ''), jwt, choice, clock.now());
    parts.push({ kind: 'jwt', files: [jwt.file], start: (listener) => tokenFeed(fetch, { clock, ...listener }) });
  }
  if (jwtBundle !== undefined) {
    parts.push({
      kind: 'jwt-bundle',
      files: [jwtBundle.file],
      start: (listener) =>
        streamFeed(
          (on) => source.watchJwtBundles(on),
          (message: JWTBundlesResponse) => {
            const own = domainOf(x509());
            if (own === undefined && jwtBundle.form === 'jwks') return undefined;
            return jwtBundlePart(message, jwtBundle, own);
          },
          { clock, ...listener },
        ),
    });
  }
  return parts;
}
