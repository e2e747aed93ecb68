/** Trust bundles as servers send them. */

import { createPublicKey, type JsonWebKey, X509Certificate } from 'node:crypto';
import { refuseDeep } from '../base/index.ts';
import { DerReader, extensionsOf, TAG } from '../ca/index.ts';
import type { Bundle as PushedBundle } from '../gen/sidekey/agent.ts';
import type { Bundle as SpireBundle } from '../gen/spire/api/types.ts';
import { type JwtAuthority, makeTrustBundle, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import { Failure } from './failure.ts';
import { MAX_AUTHORITIES } from './limits.ts';

const SUBJECT_KEY_ID = '551d0e';

export interface ReadBundle {
  readonly bundle: TrustBundle;
  /** Subject key identifiers of tainted roots, lower-case hex. */
  readonly tainted: readonly string[];
}

/** A bundle of SPIRE's API. @param trustDomain the one that was asked for @throws Failure */
export function bundleOf(message: SpireBundle, trustDomain: TrustDomain): ReadBundle {
  const { x509Authorities, jwtAuthorities, sequenceNumber, refreshHint } = message;
  if (message.trustDomain !== trustDomain) throw Failure.protocol(`it is no bundle of ${trustDomain}`);
  bounded(trustDomain, x509Authorities.length, jwtAuthorities.length);
  const roots = x509Authorities.map(({ asn1 }) => rootOf(asn1, trustDomain));
  const keys = jwtAuthorities.flatMap(({ keyId, publicKey }) => {
    const jwk = keyOf({ key: publicKey, format: 'der', type: 'spki' });
    return jwk === undefined || keyId === '' ? [] : [{ keyId, publicKey: jwk }];
  });
  const bundle = makeTrustBundle({
    ...{ trustDomain, roots, jwtAuthorities: keys, sequenceNumber: numberOf(sequenceNumber) },
    refreshHint: refreshHint > 0n ? numberOf(refreshHint) : undefined,
  });
  const tainted = roots.flatMap(({ raw }, at) => (x509Authorities[at]!.tainted ? [subjectKeyIdOf(raw)] : []));
  return { bundle, tainted: tainted.filter((id) => id !== '') };
}

/** A bundle of the push stream. @throws Failure */
export function pushedBundle(message: PushedBundle, trustDomain: TrustDomain): TrustBundle {
  const { x509Authorities, jwtAuthorities, crls, epoch, sequenceNumber, documentNumber, refreshHint } = message;
  bounded(trustDomain, x509Authorities.length, jwtAuthorities.length);
  if (crls.length > MAX_AUTHORITIES)
    throw Failure.protocol(`the bundle of ${trustDomain} has too many revocation lists`);
  const roots = x509Authorities.map((der) => rootOf(der, trustDomain));
  return makeTrustBundle({
    ...{ trustDomain, roots, crls, epoch: epoch.length === 0 ? undefined : epoch },
    jwtAuthorities: jwtAuthorities.map((key) => readKey(key, trustDomain)),
    ...{ sequenceNumber: numberOf(sequenceNumber), documentNumber: numberOf(documentNumber) },
    refreshHint: refreshHint === 0 ? undefined : refreshHint,
  });
}

function bounded(trustDomain: TrustDomain, roots: number, keys: number): void {
  if (roots <= MAX_AUTHORITIES && keys <= MAX_AUTHORITIES) return;
  throw Failure.protocol(`the bundle of ${trustDomain} has more than ${MAX_AUTHORITIES} authorities`);
}

function rootOf(der: Uint8Array, trustDomain: TrustDomain): X509Certificate {
  const refuse = (problem: string) => Failure.protocol(`the bundle of ${trustDomain} has ${problem}`);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    throw refuse('a root that cannot be read');
  }
  if (!certificate.raw.equals(der)) throw refuse('a root with other bytes behind it');
  if (!certificate.ca) throw refuse('a root that is no authority');
  return certificate;
}

function readKey({ keyId, publicKey }: PushedBundle['jwtAuthorities'][number], trustDomain: TrustDomain): JwtAuthority {
  let jwk: JsonWebKey | undefined;
  try {
    refuseDeep(publicKey);
    jwk = keyOf({ key: JSON.parse(publicKey.toString('utf8')) as JsonWebKey, format: 'jwk' });
  } catch {
    // The same as a key of another type.
  }
  if (jwk === undefined || keyId === '') throw Failure.protocol(`the bundle of ${trustDomain} has a bad JWT key`);
  return { keyId, publicKey: jwk };
}

/** The public members; undefined: it is no key of EC or RSA. */
function keyOf(input: Parameters<typeof createPublicKey>[0]): JsonWebKey | undefined {
  try {
    const key = createPublicKey(input);
    return key.asymmetricKeyType === 'ec' || key.asymmetricKeyType === 'rsa'
      ? key.export({ format: 'jwk' })
      : undefined;
  } catch {
    return undefined;
  }
}

/** Empty: it has none. */
function subjectKeyIdOf(der: Buffer): string {
  const value = extensionsOf(der).find(({ id }) => id === SUBJECT_KEY_ID)?.value;
  return value === undefined ? '' : new DerReader(value).hex(TAG.octetString);
}

function numberOf(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw Failure.protocol('a number is larger than 2^53');
}
