/**
 * Reads bundles from users and other control planes: SPIFFE's JSON, a JWK set, or certificates in PEM.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 * @see https://www.rfc-editor.org/rfc/rfc7517, rfc7468
 */

import { createPublicKey, type JsonWebKey, type X509Certificate } from 'node:crypto';
import { type Problem, SidekeyError } from '../base/index.ts';
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
      if (label === 'CERTIFICATE') {
        const certificate = authorities.read(der, place);
        if (certificate !== undefined) authorities.add(certificate, place);
      } else if (label.endsWith('PRIVATE KEY')) place.fault('it is a private key', PRIVATE_RULE);
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

/**
 * Reads SPIFFE's JSON. Keys that the specification says to ignore are ignored with a warning: those of unknown types and
 * uses, and those without a certificate. In a polled document, each other faulty key is ignored too, and so are faulty
 * numbers, because one key of a partner must not keep its new authorities from this server (RFC 7517, section 5). A bundle
 * that a person sets is refused with all its faults, because that person can correct them.
 * @throws ERR_BAD_INPUT with all problems; paths are JSON pointers
 */
export function parseBundleDocument(value: unknown, rules: BundleRules): BundleInput {
  return collect((problems) => {
    const place = new Place('', problems);
    const document = readObject(value, place, DOCUMENT_RULE);
    if (document === undefined) return undefined;
    const sequenceNumber = readSequence(document.spiffe_sequence, rules, problems);
    const refreshHint = readHint(document.spiffe_refresh_hint, rules, problems);
    const { keys } = document;
    if (!Array.isArray(keys)) return place.at('keys').fault(`it is ${show(keys)}, not a list`, DOCUMENT_RULE);
    if (keys.length > MAX_KEYS) {
      return place.at('keys').fault(`it has ${keys.length} keys`, `a bundle has at most ${MAX_KEYS} keys`);
    }
    const authorities = new BundleAuthorities(rules);
    const jwtAuthorities = new JwtAuthorities(rules);
    for (const [index, key] of keys.entries()) {
      tolerate(`/keys/${index}`, rules, problems, 'the key is ignored', (at) =>
        readKey(key, at, { authorities, jwtAuthorities, rules }),
      );
    }
    if (problems.length > 0) return undefined;
    const list = authorities.finish(place);
    return list && { x509Authorities: list, jwtAuthorities: jwtAuthorities.list, sequenceNumber, refreshHint };
  });
}

/** Maximum number of keys, used or ignored; each costs time. */
const MAX_KEYS = 1_000;

/** Runs a reader. Its faults become warnings if the document was polled. */
function tolerate<T>(
  path: string,
  rules: BundleRules,
  problems: Problem[],
  consequence: string,
  read: (place: Place) => T,
): T {
  if (rules.polled !== true) return read(new Place(path, problems));
  const faults: Problem[] = [];
  const result = read(new Place(path, faults));
  for (const fault of faults) rules.warn({ ...fault, rule: `${fault.rule}; ${consequence}` });
  return result;
}

/** JWK members with private or symmetric key material (RFC 7518, section 6). */
const PRIVATE_MEMBERS: readonly string[] = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
/** Other key types and uses must be ignored (sections 4.1.3 and 4.2). */
const KEY_TYPES: readonly unknown[] = ['EC', 'RSA', 'OKP'];
const SUPPORTED = 'it is ignored; supported are x509-svid keys of the types EC, RSA and OKP, and jwt-svid keys';

interface BundleParts {
  readonly authorities: BundleAuthorities;
  readonly jwtAuthorities: JwtAuthorities;
  readonly rules: BundleRules;
}

function readKey(value: unknown, place: Place, { authorities, jwtAuthorities, rules }: BundleParts): void {
  const key = readObject(value, place, KEY_RULE);
  if (key === undefined) return;
  const secret = PRIVATE_MEMBERS.filter((member) => Object.hasOwn(key, member));
  for (const member of secret) place.at(member).fault('it is of a private key', PRIVATE_RULE);
  if (secret.length > 0) return;
  const { kty, use, x5c } = key;
  if (use === 'jwt-svid') {
    jwtAuthorities.add(key, place);
    return;
  }
  if (use !== 'x509-svid' || !KEY_TYPES.includes(kty)) {
    rules.warn({
      path: place.path,
      problem: `the key has the use ${show(use)} and the type ${show(kty)}`,
      rule: SUPPORTED,
    });
    return;
  }
  const chain = place.at('x5c');
  if (!Array.isArray(x5c) || x5c.length === 0) {
    const problem = Array.isArray(x5c) ? 'it is empty' : `it is ${show(x5c)}`;
    rules.warn({ path: chain.path, problem, rule: `${X5C_RULE}; the key is ignored` });
    return;
  }
  if (x5c.length > 1) {
    rules.warn({
      path: chain.path,
      problem: `it has ${x5c.length} certificates`,
      rule: `${X5C_RULE}; the first is taken`,
    });
  }
  const der = typeof x5c[0] === 'string' ? fromBase64(x5c[0]) : undefined;
  if (der === undefined) {
    chain.at(0).fault('it is not base64', X5C_RULE);
    return;
  }
  const certificate = authorities.read(der, chain.at(0));
  // Both are checked before the certificate is taken, since a polled document keeps its other keys.
  if (certificate !== undefined && isKeyOf(key, certificate, place)) authorities.add(certificate, chain.at(0));
}

/** Checks that the key is the certificate's (RFC 7517, section 4.7). */
function isKeyOf(key: Record<string, unknown>, certificate: X509Certificate, place: Place): boolean {
  const { kty, crv, x, y, n, e } = key as JsonWebKey;
  const members = Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, one]) => one !== undefined));
  try {
    if (createPublicKey({ key: members, format: 'jwk' }).equals(certificate.publicKey)) return true;
  } catch {
    // The key is invalid.
  }
  place.fault('its members are not the key of its certificate', 'both are the same key (RFC 7517, section 4.7)');
  return false;
}

function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}

/** Sequence numbers have at least 64 bits (section 4.1.1). */
const MAX_SEQUENCE = 2n ** 64n - 1n;

function readSequence(value: unknown, rules: BundleRules, problems: Problem[]): bigint | undefined {
  if (value === undefined) return undefined;
  return tolerate('/spiffe_sequence', rules, problems, 'the document counts as one without', (place) => {
    const isWhole = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value));
    const number = isWhole ? BigInt(value) : undefined;
    if (number !== undefined && number >= 0n && number <= MAX_SEQUENCE) return number;
    const most = rules.polled === true ? MAX_SEQUENCE : Number.MAX_SAFE_INTEGER;
    return place.fault(`it is ${shownNumber(value)}`, `it is a whole number from 0 to ${most}, or absent`);
  });
}

function readHint(value: unknown, rules: BundleRules, problems: Problem[]): number | undefined {
  if (value === undefined) return undefined;
  return tolerate('/spiffe_refresh_hint', rules, problems, 'the document counts as one without', (place) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return Math.abs(value);
    // Longer than any clamp.
    if (typeof value === 'bigint' && value > 0n) return Number.MAX_SAFE_INTEGER;
    return place.fault(
      `it is ${shownNumber(value)}`,
      `it is a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or absent`,
    );
  });
}

function shownNumber(value: unknown): string {
  return typeof value === 'bigint' ? String(value) : show(value);
}

/** Warns if a document's sequence number does not grow: it may be an old file. */
export function checkSequence(
  input: BundleInput,
  before: FederatedBundle | undefined,
  warn: BundleRules['warn'],
): void {
  const { sequenceNumber } = input;
  const last = before && (before.statedSequence ?? BigInt(before.sequenceNumber));
  if (last === undefined || sequenceNumber === undefined || sequenceNumber > last) return;
  if (sequenceNumber === last && haveSameAuthorities(before!, input)) return;
  const problem = `it is ${sequenceNumber}, and that of the bundle it replaces is ${last}`;
  warn({ path: '/spiffe_sequence', problem, rule: 'it grows with each change: is this the newer bundle?' });
}
