/**
 * Reads bundles from users and other control planes: SPIFFE's JSON, a JWK set, or certificates in PEM.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 * @see https://www.rfc-editor.org/rfc/rfc7517, rfc7468
 */

import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { SidekeyError } from '../base/index.ts';
import {
  EPOCH_TRUST_DOMAIN,
  haveSameAuthorities,
  parseTrustDomain,
  SpiffeIdError,
  type TrustDomain,
} from '../spiffe/index.ts';
import { BundleAuthorities, type BundleRules } from './bundle-authorities.ts';
import type { BundleInput, FederatedBundle } from './federated-bundle.ts';
import { JwtAuthorities } from './jwt-authorities.ts';
import { readPemBlocks } from './pem-input.ts';
import { collect, Place, readObject, show } from './place.ts';

export type { BundleRules } from './bundle-authorities.ts';

/** Why nobody can federate with {@link EPOCH_TRUST_DOMAIN}. */
export const EPOCH_RULE =
  'this name is reserved for the throw-away CA that goes with revocation lists (docs/revocation.md)';

/** Reads the trust domain of a bundle to set, with or without `spiffe://`. @throws ERR_BAD_INPUT */
export function parseForeignTrustDomain(text: string, own: TrustDomain, path = 'trust_domain'): TrustDomain {
  const refuse = (problem: string, rule: string) => SidekeyError.badInput([{ path, problem, rule }]);
  try {
    const trustDomain = parseTrustDomain(text.replace(/^spiffe:\/\//, ''));
    if (trustDomain === EPOCH_TRUST_DOMAIN) throw refuse(`it is ${show(text)}`, EPOCH_RULE);
    if (trustDomain !== own) return trustDomain;
  } catch (thrown) {
    if (thrown instanceof SpiffeIdError) throw refuse(thrown.problem, thrown.rule);
    throw thrown;
  }
  throw refuse(
    "it is the server's own trust domain",
    "its bundle always contains the roots of the server's own authority",
  );
}

const PRIVATE_RULE = 'a bundle contains only public keys; this private key may be compromised, so replace it';

/**
 * Reads certificates in PEM, with any text between them.
 * @throws ERR_BAD_INPUT with all problems; paths are `line 12`
 */
export function parseBundlePem(text: string, rules: BundleRules): BundleInput {
  return collect((problems) => {
    const authorities = new BundleAuthorities(rules);
    for (const { label, der, place } of readPemBlocks(text, problems)) {
      if (label === 'CERTIFICATE') authorities.add(der, place);
      else if (label.endsWith('PRIVATE KEY')) place.fault('it is a private key', PRIVATE_RULE);
      else place.fault(`it is a block of the type ${show(label)}`, 'a PEM bundle contains only CERTIFICATE blocks');
    }
    if (problems.length > 0) return undefined;
    const list = authorities.finish(new Place('', problems));
    return list && { x509Authorities: list, jwtAuthorities: [], sequenceNumber: undefined, refreshHint: undefined };
  });
}

const DOCUMENT_RULE = 'a SPIFFE bundle is a JWK set: {"keys":[…],"spiffe_sequence":1,"spiffe_refresh_hint":300}';
const KEY_RULE = 'a key of a SPIFFE bundle is a JWK with kty and use';
const X5C_RULE = 'a key with the use x509-svid has x5c with one certificate: DER in base64';

/** Reads SPIFFE's JSON. @throws ERR_BAD_INPUT with all problems; paths are JSON pointers */
export function parseBundleDocument(value: unknown, rules: BundleRules): BundleInput {
  return collect((problems) => {
    const place = new Place('', problems);
    const document = readObject(value, place, DOCUMENT_RULE);
    if (document === undefined) return undefined;
    const sequenceNumber = readCount(document.spiffe_sequence, place.at('spiffe_sequence'));
    const refreshHint = readCount(document.spiffe_refresh_hint, place.at('spiffe_refresh_hint'));
    const { keys } = document;
    if (!Array.isArray(keys)) return place.at('keys').fault(`it is ${show(keys)}, not a list`, DOCUMENT_RULE);
    const authorities = new BundleAuthorities(rules);
    const jwtAuthorities = new JwtAuthorities(rules);
    for (const [index, key] of keys.entries()) {
      readKey(key, place.at('keys').at(index), { authorities, jwtAuthorities, rules });
    }
    if (problems.length > 0) return undefined;
    const list = authorities.finish(place);
    return list && { x509Authorities: list, jwtAuthorities: jwtAuthorities.list, sequenceNumber, refreshHint };
  });
}

/** JWK members with private or symmetric key material (RFC 7518, section 6). */
const PRIVATE_MEMBERS: readonly string[] = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
/** Other key types and uses must be ignored (sections 4.1.3 and 4.2). */
const KEY_TYPES: readonly unknown[] = ['EC', 'RSA', 'OKP'];

interface BundleParts {
  readonly authorities: BundleAuthorities;
  readonly jwtAuthorities: JwtAuthorities;
  readonly rules: BundleRules;
}

function readKey(value: unknown, place: Place, { authorities, jwtAuthorities, rules }: BundleParts): void {
  const key = readObject(value, place, KEY_RULE);
  if (key === undefined) return;
  for (const member of PRIVATE_MEMBERS) {
    if (Object.hasOwn(key, member)) place.at(member).fault('it is of a private key', PRIVATE_RULE);
  }
  const { kty, use, x5c } = key;
  for (const [member, given] of [
    ['kty', kty],
    ['use', use],
  ] as const) {
    if (typeof given !== 'string') place.at(member).fault(`it is ${show(given)}`, KEY_RULE);
  }
  if (typeof kty !== 'string' || typeof use !== 'string') return;
  if (use === 'jwt-svid') {
    jwtAuthorities.add(key, place);
    return;
  }
  if (use !== 'x509-svid' || !KEY_TYPES.includes(kty)) {
    const problem = `the key has the use ${show(use)} and the type ${show(kty)}`;
    rules.warn({
      path: place.path,
      problem,
      rule: 'it is ignored; supported are x509-svid keys of the types EC, RSA and OKP, and jwt-svid keys',
    });
    return;
  }
  const chain = place.at('x5c');
  if (!Array.isArray(x5c) || x5c.length !== 1) {
    chain.fault(Array.isArray(x5c) ? `it has ${x5c.length} elements` : `it is ${show(x5c)}`, X5C_RULE);
    return;
  }
  const der = typeof x5c[0] === 'string' ? fromBase64(x5c[0]) : undefined;
  if (der === undefined) chain.at(0).fault('it is not base64', X5C_RULE);
  else checkKey(key, place, authorities.add(der, chain.at(0)));
}

/** Checks that the key is the certificate's (RFC 7517, section 4.7). */
function checkKey(key: Record<string, unknown>, place: Place, certificate: ReturnType<BundleAuthorities['add']>): void {
  if (certificate === undefined) return;
  const { kty, crv, x, y, n, e } = key as JsonWebKey;
  const members = Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, one]) => one !== undefined));
  try {
    if (createPublicKey({ key: members, format: 'jwk' }).equals(certificate.publicKey)) return;
  } catch {
    // The key is invalid, or the certificate's key type was already reported.
  }
  place.fault('its members are not the key of its certificate', 'both are the same key (RFC 7517, section 4.7)');
}

function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}

function readCount(value: unknown, place: Place): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return Math.abs(value);
  return place.fault(`it is ${show(value)}`, `it is a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or absent`);
}

/** Warns if a document's sequence number does not grow: it may be an old file. */
export function checkSequence(
  input: BundleInput,
  before: FederatedBundle | undefined,
  warn: BundleRules['warn'],
): void {
  const { sequenceNumber } = input;
  if (before === undefined || sequenceNumber === undefined || sequenceNumber > before.sequenceNumber) return;
  if (sequenceNumber === before.sequenceNumber && haveSameAuthorities(before, input)) return;
  const problem = `it is ${sequenceNumber}, and that of the bundle it replaces is ${before.sequenceNumber}`;
  warn({ path: '/spiffe_sequence', problem, rule: 'it grows with each change: is this the newer bundle?' });
}
