/** What the Workload API answered, checked and in the form of the files. Nothing that fails a check is written. */

import { createPrivateKey, type X509Certificate } from 'node:crypto';
import type { JWTBundlesResponse, JWTSVIDResponse, X509SVID, X509SVIDResponse } from '../gen/workload.ts';
import {
  certificatesOf,
  parseSpiffeId,
  parseTrustDomainId,
  pemOfAll,
  type TrustDomain,
  tokenClaims,
  trustDomainOf,
} from '../spiffe/index.ts';
import type { WrittenFile } from './generation.ts';
import type { Choice, JwtBundlePlan, JwtPlan, X509Plan } from './plan.ts';

/** Files that are received together. */
export interface Part {
  readonly files: readonly WrittenFile[];
  /** The identity, except for bundles. */
  readonly spiffeId: string | undefined;
  /** When they cease to be valid, in milliseconds since the epoch; undefined: never. */
  readonly endsAt: number | undefined;
}

/** Certificate, key and bundle. @throws Error if the chosen SVID is absent, has ended, or does not fit its key, or its bundle is empty */
export function x509Part(
  { svids, federatedBundles }: X509SVIDResponse,
  plan: X509Plan,
  choice: Choice,
  now: number,
): Part {
  const svid = choose(svids, choice, 'X.509-SVID');
  const chain = listed(svid.x509Svid, 'the X.509-SVID');
  const [leaf, ...intermediates] = chain;
  const key = createPrivateKey({ key: svid.x509SvidKey, format: 'der', type: 'pkcs8' });
  const endsAt = checkLeaf(leaf, svid, now);
  if (!leaf!.checkPrivateKey(key)) throw new Error(`the key of ${svid.spiffeId} does not fit its certificate`);
  const own = listed(svid.bundle, 'the bundle');
  if (own.length === 0) throw new Error(`the bundle of ${svid.spiffeId} is empty`);
  // In a fixed order, so that files change only if their content does.
  const foreign = plan.federated ? Object.keys(federatedBundles).sort() : [];
  const bundle = [
    ...own,
    ...(plan.intermediatesInBundle ? intermediates : []),
    ...foreign.flatMap((id) => listed(federatedBundles[id]!, `the bundle of ${id}`)),
  ];
  const kept = plan.omitExpired ? bundle.filter(({ validToDate }) => validToDate.getTime() > now) : bundle;
  if (kept.length === 0) throw new Error(`all authorities in the bundle of ${svid.spiffeId} have ended`);
  return {
    files: [
      { ...plan.certificate, content: pemOfAll(plan.intermediatesInBundle ? [leaf!] : chain) },
      { ...plan.key, content: key.export({ format: 'pem', type: 'pkcs8' }) as string },
      { ...plan.bundle, content: pemOfAll(kept) },
    ],
    spiffeId: svid.spiffeId,
    endsAt,
  };
}

/** @returns when it ends */
function checkLeaf(leaf: X509Certificate | undefined, { spiffeId }: X509SVID, now: number): number {
  parseSpiffeId(spiffeId);
  const names = leaf?.subjectAltName?.split(', ') ?? [];
  if (leaf === undefined || !names.includes(`URI:${spiffeId}`)) {
    throw new Error(`the certificate is not that of ${spiffeId}`);
  }
  const endsAt = leaf.validToDate.getTime();
  if (endsAt <= now) throw new Error(`the certificate of ${spiffeId} ended at ${leaf.validToDate.toISOString()}`);
  return endsAt;
}

/** A token. @throws Error if there is none for the chosen identity, it is another one's, or it has ended */
export function jwtPart({ svids }: JWTSVIDResponse, { file }: JwtPlan, choice: Choice, now: number): Part {
  const { spiffeId, svid } = choose(svids, choice, 'JWT-SVID');
  const { subject, endsAt } = tokenClaims(svid);
  if (subject !== spiffeId) throw new Error(`the JWT-SVID is not that of ${spiffeId}`);
  if (endsAt <= now) throw new Error(`the JWT-SVID of ${spiffeId} has ended`);
  return { files: [{ ...file, content: svid }], spiffeId, endsAt };
}

/**
 * The keys that verify JWT-SVIDs.
 * @param own the trust domain of the caller, for the form `jwks`
 * @throws Error if a JWK Set is malformed, or the own one is absent
 */
export function jwtBundlePart({ bundles }: JWTBundlesResponse, { file, form }: JwtBundlePlan, own?: TrustDomain): Part {
  const sets = new Map(
    Object.entries(bundles)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, bytes]) => [parseTrustDomainId(id), jwksText(id, bytes)]),
  );
  if (form === 'jwks') {
    const set = own === undefined ? undefined : sets.get(own);
    if (set === undefined) throw new Error(`the server has no JWK Set of the own trust domain ${own ?? ''}`);
    return { files: [{ ...file, content: `${set}\n` }], spiffeId: undefined, endsAt: undefined };
  }
  const encoded = [...sets].map(([domain, set]) => [domain, Buffer.from(set).toString('base64')]);
  const content = JSON.stringify(Object.fromEntries(encoded));
  return { files: [{ ...file, content }], spiffeId: undefined, endsAt: undefined };
}

function jwksText(id: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('utf8');
  let set: { readonly keys?: unknown } | null;
  try {
    set = JSON.parse(text);
  } catch {
    throw new Error(`the JWK Set of ${id} is not JSON`);
  }
  if (!Array.isArray(set?.keys)) throw new Error(`the JWK Set of ${id} has no keys`);
  return text;
}

function choose<T extends { spiffeId: string; hint: string }>(svids: readonly T[], choice: Choice, what: string): T {
  const { spiffeId, hint } = choice;
  const isChosen = (one: T) =>
    (spiffeId === undefined || one.spiffeId === spiffeId) && (hint === undefined || one.hint === hint);
  const found = svids.find(isChosen);
  if (found !== undefined) return found;
  const wanted = [spiffeId, hint === undefined ? undefined : `with the hint ${JSON.stringify(hint)}`].filter(Boolean);
  const there = svids.map((one) => `${one.spiffeId}${one.hint === '' ? '' : ` (hint ${one.hint})`}`).slice(0, 10);
  const others = there.length === 0 ? 'none at all' : there.join(', ');
  throw new Error(`the server has no ${what} ${wanted.join(' ')} for this process, but ${others}`);
}

/** The certificates of one field. */
function listed(der: Uint8Array, what: string): X509Certificate[] {
  try {
    return certificatesOf(der);
  } catch (thrown) {
    throw new Error(`${what} is not a sequence of certificates: ${(thrown as Error).message}`, { cause: thrown });
  }
}

/** The trust domain of a part's identity. */
export function domainOf(part: Part | undefined): TrustDomain | undefined {
  return part?.spiffeId === undefined ? undefined : trustDomainOf(parseSpiffeId(part.spiffeId));
}
