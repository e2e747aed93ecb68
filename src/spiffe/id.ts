/**
 * SPIFFE IDs and trust domains, compared byte for byte. Nothing is decoded, normalised or lower-cased, since parsers
 * that disagree about an identity allow impersonation (`new URL()` resolves dots and percent signs).
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md sections 2.1 to 2.3
 */

/** A SPIFFE ID that {@link parseSpiffeId} accepted, exactly as it was written; it has a path. */
export type SpiffeId = string & { readonly __brand: 'SpiffeId' };

/** The name of a trust domain that {@link parseTrustDomain} accepted, without `spiffe://`. */
export type TrustDomain = string & { readonly __brand: 'TrustDomain' };

/** Why a text is not a SPIFFE ID or trust domain. */
export class SpiffeIdError extends Error {
  /** What is wrong with the text. */
  readonly problem: string;
  /** The rule it breaks. */
  readonly rule: string;

  constructor(problem: string, rule: string) {
    super(`${problem}; ${rule}`);
    this.name = 'SpiffeIdError';
    this.problem = problem;
    this.rule = rule;
  }
}

const SCHEME = 'spiffe://';
/** Maximum length of a SPIFFE ID, in bytes. */
export const MAX_ID_BYTES = 2048;
const MAX_TRUST_DOMAIN_BYTES = 255;

const TRUST_DOMAIN_RULE = 'a trust domain is 1 to 255 of the characters a-z 0-9 . - _ (lower case only)';
const SEGMENT_RULE =
  'a path is segments of the characters A-Z a-z 0-9 . - _ between single slashes, with no . or .. and none at the end';

/** Reads the name of a trust domain (`ilinux.io`). @throws {SpiffeIdError} */
export function parseTrustDomain(text: string): TrustDomain {
  if (text === '') throw new SpiffeIdError('the trust domain is missing', TRUST_DOMAIN_RULE);
  if (text.startsWith(SCHEME)) {
    const [name = '', path] = text.slice(SCHEME.length).split('/', 2);
    const extra = path === undefined ? SCHEME : `${SCHEME} and the path`;
    // Proposes only valid names.
    const proposal = /^[a-z0-9._-]{1,255}$/.test(name) ? `leave off ${extra}: ${name}` : TRUST_DOMAIN_RULE;
    throw new SpiffeIdError(`the trust domain begins with ${SCHEME}`, proposal);
  }
  if (text.length > MAX_TRUST_DOMAIN_BYTES) {
    throw new SpiffeIdError(`the trust domain has ${text.length} bytes`, TRUST_DOMAIN_RULE);
  }
  for (let at = 0; at < text.length; at += 1) {
    if (!isTrustDomainCharacter(text.charCodeAt(at))) {
      throw new SpiffeIdError(`the trust domain has ${describe(text, at)} at byte ${at}`, TRUST_DOMAIN_RULE);
    }
  }
  return text as TrustDomain;
}

/** Reads the SPIFFE ID of a trust domain itself (`spiffe://ilinux.io`), which names its bundle. @throws {SpiffeIdError} */
export function parseTrustDomainId(text: string): TrustDomain {
  if (!text.startsWith(SCHEME)) {
    throw new SpiffeIdError('the scheme is missing or not spiffe', 'a SPIFFE ID begins with spiffe:// in lower case');
  }
  return parseTrustDomain(text.slice(SCHEME.length));
}

/** Reads a workload's SPIFFE ID, including its path (`spiffe://ilinux.io/front-envoy`). @throws {SpiffeIdError} */
export function parseSpiffeId(text: string): SpiffeId {
  if (text === '') throw new SpiffeIdError('it is empty', 'a SPIFFE ID is spiffe://<trust domain>/<path>');
  if (text.length > MAX_ID_BYTES) {
    throw new SpiffeIdError(`it has ${text.length} characters`, `a SPIFFE ID has at most ${MAX_ID_BYTES} bytes`);
  }
  if (!text.startsWith(SCHEME)) {
    throw new SpiffeIdError('the scheme is missing or not spiffe', 'a SPIFFE ID begins with spiffe:// in lower case');
  }
  const slash = text.indexOf('/', SCHEME.length);
  parseTrustDomain(slash === -1 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash));
  if (slash === -1) {
    throw new SpiffeIdError(
      'it has no path',
      "a workload's SPIFFE ID has a path; without one it names the trust domain",
    );
  }
  checkPath(text, slash);
  return text as SpiffeId;
}

/** In `federates_with`: every trust domain whose bundle is known, now and later. */
export const EVERY_DOMAIN = '*';

/** The trust domain of a SPIFFE ID. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  return id.slice(SCHEME.length, id.indexOf('/', SCHEME.length)) as TrustDomain;
}

/** The path of a SPIFFE ID, with its leading slash. */
export function pathOf(id: SpiffeId): string {
  return id.slice(id.indexOf('/', SCHEME.length));
}

/** The SPIFFE ID of a trust domain itself, which names its bundle: `spiffe://ilinux.io`. */
export function trustDomainId(trustDomain: TrustDomain): string {
  return SCHEME + trustDomain;
}

/** Why a text is not one segment of a path: it is empty, `.` or `..`, or has other characters; undefined if it is one. */
export function segmentProblem(text: string): SpiffeIdError | undefined {
  if (text === '') return new SpiffeIdError('it is empty', SEGMENT_RULE);
  if (isDots(text, 0, text.length)) return new SpiffeIdError(`it is "${text}"`, SEGMENT_RULE);
  for (let at = 0; at < text.length; at += 1) {
    if (!isPathCharacter(text.charCodeAt(at))) return new SpiffeIdError(`it has ${describe(text, at)}`, SEGMENT_RULE);
  }
  return undefined;
}

function checkPath(text: string, start: number): void {
  let segment = start + 1;
  for (let at = start + 1; at <= text.length; at += 1) {
    const code = at === text.length ? SLASH : text.charCodeAt(at);
    if (code === SLASH) {
      const length = at - segment;
      if (length === 0) {
        const problem = at === text.length ? 'it ends with a slash' : `it has an empty path segment at byte ${at}`;
        throw new SpiffeIdError(problem, SEGMENT_RULE);
      }
      if (isDots(text, segment, length)) {
        throw new SpiffeIdError(
          `it has the path segment "${text.slice(segment, at)}" at byte ${segment}`,
          SEGMENT_RULE,
        );
      }
      segment = at + 1;
    } else if (!isPathCharacter(code)) {
      throw new SpiffeIdError(`its path has ${describe(text, at)} at byte ${at}`, SEGMENT_RULE);
    }
  }
}

const SLASH = 0x2f;
const DOT = 0x2e;

function isDots(text: string, start: number, length: number): boolean {
  return length <= 2 && text.charCodeAt(start) === DOT && text.charCodeAt(start + length - 1) === DOT;
}

function isTrustDomainCharacter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === DOT || code === 0x2d || code === 0x5f
  );
}

function isPathCharacter(code: number): boolean {
  return isTrustDomainCharacter(code) || (code >= 0x41 && code <= 0x5a);
}

/** Names a character without printing control characters or unpaired surrogates. */
function describe(text: string, at: number): string {
  const code = text.codePointAt(at)!;
  if (code > 0x20 && code < 0x7f) return `the character ${JSON.stringify(String.fromCodePoint(code))}`;
  return `the character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}
