/**
 * Validates JWT-SVIDs. A pure function of the token, the bundles and the time.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md sections 2 to 4
 * @see https://www.rfc-editor.org/rfc/rfc7515 section 5.2, rfc7518 section 3, rfc8725
 */

import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { isNestedBeyond, parseUnique, printable, TOKEN_LEEWAY_MS } from '../base/index.ts';
import {
  JWT_ALGORITHMS,
  type JwtAlgorithm,
  type JwtAuthority,
  jwtAlgorithmsOf,
  parseSpiffeId,
  type SpiffeId,
  SpiffeIdError,
  type TrustBundle,
  type TrustDomain,
  trustDomainOf,
} from '../spiffe/index.ts';
import { AUDIENCE_MISSING, isBlank } from './audiences.ts';
import { AudienceError, InvalidTokenError } from './errors.ts';

/** The bundles of the trust domains whose tokens are accepted. */
export interface JwtBundles {
  get(trustDomain: TrustDomain): Pick<TrustBundle, 'jwtAuthorities'> | undefined;
}

export interface ValidatedJwtSvid {
  readonly spiffeId: SpiffeId;
  /** The `kid` of the key that signed it. */
  readonly keyId: string;
  /** All claims; `aud` is a list. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Longer ones are refused unread. Sidekey's own have at most 32 audiences of 1,024 bytes, by default. */
const MAX_TOKEN_LENGTH = 256 * 1024;
/** Maximum depth of lists and objects in a header or payload. */
const MAX_DEPTH = 16;
/** RFC 7518, sections 3.3 and 3.5. */
const MIN_RSA_BITS = 2_048;

/** The members that a header may have (JWT-SVID section 2): an unknown one might change the token's meaning. */
const HEADERS: readonly string[] = ['alg', 'kid', 'typ'];
const TYPES: readonly unknown[] = [undefined, 'JWT', 'JOSE'];
/** Texts of the token in a message are cut to this length. */
const SHOWN = 100;

/**
 * @param audience one of the token's audiences
 * @param now milliseconds since the epoch
 * @throws AudienceError if no audience is given; InvalidTokenError with the reason
 */
export function validateJwtSvid(token: string, audience: string, bundles: JwtBundles, now: number): ValidatedJwtSvid {
  if (isBlank(audience)) throw new AudienceError(AUDIENCE_MISSING);
  const [header, payload, signature, input] = split(token);
  const { algorithm, keyId } = readHeader(header);
  const claims = readObject(payload, 'payload');
  const spiffeId = readSubject(claims.sub);
  const trustDomain = trustDomainOf(spiffeId);
  const bundle = bundles.get(trustDomain);
  if (bundle === undefined) throw new InvalidTokenError(`there is no bundle of the trust domain ${trustDomain}`);
  const authority = bundle.jwtAuthorities.find((one) => one.keyId === keyId);
  if (authority === undefined) {
    throw new InvalidTokenError(`the bundle of ${trustDomain} has no JWT authority with the kid ${show(keyId)}`);
  }
  checkSignature(input, signature, algorithm, authority);
  const aud = readAudiences(claims.aud);
  if (!aud.includes(audience)) throw new InvalidTokenError(`the token is not for the audience ${show(audience)}`);
  checkTimes(claims, now);
  return { spiffeId, keyId, claims: { ...claims, aud } };
}

const FOREIGN_CLAIMS: readonly string[] = ['sub', 'aud', 'exp'];

/**
 * The claims of a token as a workload gets them. Of another trust domain's token it gets only those that the standard
 * defines: any other one, such as `roles`, would mean what that domain likes. SPIRE does the same.
 */
export function shownClaims(
  { spiffeId, claims }: ValidatedJwtSvid,
  own: TrustDomain,
): Readonly<Record<string, unknown>> {
  if (trustDomainOf(spiffeId) === own) return claims;
  return Object.fromEntries(Object.entries(claims).filter(([name]) => FOREIGN_CLAIMS.includes(name)));
}

/** The three parts of a compact JWS, and the text that is signed. */
function split(token: string): [header: Buffer, payload: Buffer, signature: Buffer, input: string] {
  if (token === '') throw new InvalidTokenError('the token is missing');
  if (token.length > MAX_TOKEN_LENGTH) {
    throw new InvalidTokenError(`the token has ${token.length} characters, and the limit is ${MAX_TOKEN_LENGTH}`);
  }
  const parts = token.split('.', 4);
  if (parts.length !== 3)
    throw new InvalidTokenError('the token is not a JWS in the compact form: three parts with dots between them');
  const [header, payload, signature] = parts as [string, string, string];
  return [decode(header, 'header'), decode(payload, 'payload'), decode(signature, 'signature'), `${header}.${payload}`];
}

function decode(part: string, name: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  // Node ignores characters that are not base64url, so the result is encoded again and compared.
  if (bytes.toString('base64url') === part) return bytes;
  throw new InvalidTokenError(`the ${name} of the token is not base64url`);
}

function readObject(bytes: Buffer, name: string): Readonly<Record<string, unknown>> {
  // V8 takes a hundred times as long for deep JSON as for flat JSON.
  if (isNestedBeyond(bytes, MAX_DEPTH)) {
    throw new InvalidTokenError(`the ${name} of the token is nested more than ${MAX_DEPTH} deep`);
  }
  let value: unknown;
  try {
    value = parseUnique(bytes.toString('utf8'));
  } catch {
    // The same fault.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new InvalidTokenError(`the ${name} of the token is not a JSON object without duplicate names`);
}

function readHeader(bytes: Buffer): { algorithm: JwtAlgorithm; keyId: string } {
  const header = readObject(bytes, 'header');
  const unknown = Object.keys(header).find((name) => !HEADERS.includes(name));
  if (unknown !== undefined) {
    throw new InvalidTokenError(`the token has the header ${show(unknown)}; a JWT-SVID has only ${HEADERS.join(', ')}`);
  }
  const { alg, kid, typ } = header;
  const algorithm = JWT_ALGORITHMS.find((one) => one === alg);
  if (algorithm === undefined) {
    throw new InvalidTokenError(
      `the token has the algorithm ${show(alg)}; a JWT-SVID has one of ${JWT_ALGORITHMS.join(', ')}`,
    );
  }
  if (!TYPES.includes(typ))
    throw new InvalidTokenError(`the token has the type ${show(typ)}; a JWT-SVID has JWT or JOSE`);
  if (typeof kid !== 'string' || kid === '') throw new InvalidTokenError('the token has no kid');
  return { algorithm, keyId: kid };
}

function readSubject(sub: unknown): SpiffeId {
  if (typeof sub !== 'string') throw new InvalidTokenError('the token has no sub');
  try {
    return parseSpiffeId(sub);
  } catch (error) {
    if (error instanceof SpiffeIdError)
      throw new InvalidTokenError(`the sub of the token is no SPIFFE ID: ${error.problem}`);
    throw error;
  }
}

function checkSignature(input: string, signature: Buffer, algorithm: JwtAlgorithm, authority: JwtAuthority): void {
  if (!jwtAlgorithmsOf(authority.publicKey).includes(algorithm)) {
    throw new InvalidTokenError(`the key ${show(authority.keyId)} is not for the algorithm ${algorithm}`);
  }
  const key = keyOf(authority);
  const { modulusLength } = key.asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined && modulusLength < MIN_RSA_BITS) {
    throw new InvalidTokenError(`the key ${show(authority.keyId)} has less than ${MIN_RSA_BITS} bits`);
  }
  const isGood = verify(
    `sha${algorithm.slice(2)}`,
    Buffer.from(input, 'latin1'),
    { key, ...SCHEMES[algorithm.slice(0, 2)] },
    signature,
  );
  if (!isGood) throw new InvalidTokenError('the signature of the token is wrong');
}

const SCHEMES: Readonly<Record<string, object>> = {
  ES: { dsaEncoding: 'ieee-p1363' },
  RS: { padding: constants.RSA_PKCS1_PADDING },
  PS: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
};

const KEYS = new WeakMap<JwtAuthority, KeyObject>();

function keyOf(authority: JwtAuthority): KeyObject {
  const known = KEYS.get(authority) ?? createPublicKey({ key: authority.publicKey, format: 'jwk' });
  KEYS.set(authority, known);
  return known;
}

function readAudiences(aud: unknown): string[] {
  const list = typeof aud === 'string' ? [aud] : aud;
  if (list === undefined || (Array.isArray(list) && list.length === 0))
    throw new InvalidTokenError('the token has no aud');
  if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list;
  throw new InvalidTokenError('the aud of the token is neither a text nor a list of texts');
}

function checkTimes(claims: Readonly<Record<string, unknown>>, now: number): void {
  const exp = readTime(claims, 'exp');
  const [nbf, iat] = [readTime(claims, 'nbf'), readTime(claims, 'iat')];
  if (exp === undefined) throw new InvalidTokenError('the token has no exp');
  if (now >= exp * 1000 + TOKEN_LEEWAY_MS) throw new InvalidTokenError(`the token has expired at ${timeOf(exp)}`);
  if (nbf !== undefined && now + TOKEN_LEEWAY_MS < nbf * 1000)
    throw new InvalidTokenError(`the token is not valid before ${timeOf(nbf)}`);
  if (iat !== undefined && now + TOKEN_LEEWAY_MS < iat * 1000)
    throw new InvalidTokenError(`the token was issued in the future, at ${timeOf(iat)}`);
}

/** Seconds since the epoch (NumericDate, RFC 7519 section 2). */
function readTime(claims: Readonly<Record<string, unknown>>, name: 'exp' | 'nbf' | 'iat'): number | undefined {
  const value = claims[name];
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  throw new InvalidTokenError(`the ${name} of the token is not a number`);
}

function timeOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds}` : date.toISOString();
}

function show(value: unknown): string {
  if (typeof value !== 'string') return value === undefined ? 'none' : `of the type ${typeof value}`;
  return printable(JSON.stringify(value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value));
}
