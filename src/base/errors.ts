/**
 * Every error that Sidekey shows to users: a stable code, its HTTP status on the admin API, and its meaning.
 * `docs/errors.md` lists them all; a test compares the two.
 */

/** The HTTP status and title of each code. Titles do not depend on the case. */
export const ERRORS = {
  ERR_BAD_INPUT: { status: 400, title: 'The input breaks a rule' },
  ERR_BAD_JSON: { status: 400, title: 'The body is not JSON' },
  ERR_CONFIG: { status: 400, title: 'The configuration breaks a rule' },
  ERR_UNAUTHORIZED: { status: 401, title: 'A bearer token is needed' },
  ERR_SESSION: { status: 401, title: 'The session of the page has ended' },
  ERR_LINK: { status: 401, title: 'The link to the page works no more' },
  ERR_FORBIDDEN: { status: 403, title: 'This caller may not use the admin API' },
  ERR_FORBIDDEN_ROLE: { status: 403, title: 'The role of the token does not allow it' },
  ERR_FORBIDDEN_HOST: { status: 403, title: 'The Host header names a host that is not on the list' },
  ERR_FORBIDDEN_ORIGIN: { status: 403, title: 'The request does not come from the page' },
  ERR_UNIX_SOCKET_ONLY: { status: 403, title: 'This is answered on the Unix socket only' },
  ERR_BAD_REQUEST: { status: 400, title: 'The request is not HTTP/1.1' },
  ERR_NOT_FOUND: { status: 404, title: 'There is nothing by that name' },
  ERR_ASK_SERVER: { status: 404, title: 'Only the server of this agent answers this' },
  ERR_METHOD_NOT_ALLOWED: { status: 405, title: 'The path does not have this method' },
  ERR_ENTRY_EXISTS: { status: 409, title: 'An entry that is the same, or has the same id, exists' },
  ERR_TOKEN_EXISTS: { status: 409, title: 'A token of that name exists' },
  ERR_ROTATION_LIMIT: { status: 409, title: 'Too many authorities are still valid' },
  ERR_AUTHORITY_STATE: { status: 409, title: 'The state of the authority does not allow it' },
  ERR_REVOCATION: { status: 409, title: 'The certificate cannot be revoked or restored' },
  ERR_BACKUP_RUNNING: { status: 409, title: 'Another backup is being made' },
  ERR_RELATIONSHIP: { status: 409, title: 'The federation relationship does not allow it' },
  ERR_REVISION: { status: 412, title: 'Somebody else changed the entry' },
  ERR_TOO_LARGE: { status: 413, title: 'The body is larger than the limit' },
  ERR_MEDIA_TYPE: { status: 415, title: 'The body has a media type that is not JSON' },
  ERR_REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time' },
  ERR_TOO_MANY_LINKS: { status: 429, title: 'Too many links to the page were made' },
  ERR_HEADERS_TOO_LARGE: { status: 431, title: 'The headers of the request are larger than the limit' },
  ERR_INTERNAL: { status: 500, title: 'Sidekey failed' },
  ERR_STORE: { status: 500, title: 'The database failed' },
  ERR_AGENT_AWAY: { status: 503, title: 'The agent of another host cannot be asked' },
  ERR_NOT_READY: { status: 503, title: 'Sidekey does not serve yet' },
  ERR_TOO_MANY_READERS: { status: 503, title: 'Too many read events, the audit or previews' },
  ERR_DATA_DIR: { status: 500, title: 'The data directory cannot be used' },
  ERR_DATA_DIR_IN_USE: { status: 500, title: 'Another Sidekey serves this data directory' },
  ERR_BACKUP: { status: 500, title: 'The backup cannot be used' },
  ERR_FILES: { status: 500, title: 'The files of an SVID cannot be written' },
  ERR_SOCKET: { status: 500, title: 'A socket cannot be used' },
  ERR_CA: { status: 500, title: 'The authority cannot sign' },
  ERR_UPSTREAM: { status: 502, title: 'The upstream authority has not signed' },
  ERR_ATTACH: { status: 502, title: 'The agent cannot attach to its server' },
  ERR_FEDERATION: { status: 502, title: 'The bundle could not be fetched' },
  ERR_PROC: { status: 500, title: '/proc cannot be used' },
  ERR_KERNEL: { status: 500, title: 'The kernel lacks what attestation needs' },
  ERR_PEER_UNATTESTABLE: { status: 503, title: 'The kernel does not say which process is calling' },
  ERR_PEER_GONE: { status: 503, title: 'The calling process has ended' },
  ERR_PEER_CHANGED: { status: 503, title: 'The calling process is not the one that was attested' },
  ERR_ATTESTATION_FAILED: { status: 503, title: 'An attestor could not find out who is calling' },
} as const satisfies Record<string, { status: number; title: string }>;

/** The set of codes; a released code does not change. */
export type ErrorCode = keyof typeof ERRORS;

/** One problem of an input: its place, the problem of the value, and the rule that it violates. */
export interface Problem {
  /** The place: `/entries/3/spiffe_id` in JSON, `--x509-svid-ttl` or `x509SvidTtl` in a configuration. */
  readonly path: string;
  /** The problem of the value. */
  readonly problem: string;
  /** The rule that the value must satisfy. */
  readonly rule: string;
}

/** One line for a person; a problem of the whole input has an empty path. */
export function formatProblem({ path, problem, rule }: Problem): string {
  return `${path === '' ? '' : `${path}: `}${problem}; ${rule}`;
}

/** An error with a stable code. Its message may be shown to callers; private details belong into `cause`. */
export class SidekeyError extends Error {
  readonly code: ErrorCode;
  /** The problems of an input, if the code is about one. */
  readonly problems: readonly Problem[];
  /** Additional members of the problem document, such as the existing entry in a conflict. */
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly Problem[]; extra?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SidekeyError';
    this.code = code;
    this.problems = options.problems ?? [];
    this.extra = options.extra ?? {};
  }

  /** An error about invalid input; its message lists every problem. */
  static badInput(problems: readonly Problem[], code: ErrorCode = 'ERR_BAD_INPUT'): SidekeyError {
    return new SidekeyError(code, problems.map(formatProblem).join('\n'), { problems });
  }

  /** Converts any thrown value: a SidekeyError is returned unchanged, anything else becomes the cause of a new one. */
  static from(thrown: unknown, code: ErrorCode = 'ERR_INTERNAL', message: string = ERRORS[code].title): SidekeyError {
    return thrown instanceof SidekeyError ? thrown : new SidekeyError(code, message, { cause: thrown });
  }
}
