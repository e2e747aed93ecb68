/** A client of the admin API, over its Unix socket or a URL with a token. */

import http, { type IncomingMessage } from 'node:http';
import { type AdminApi, type InputProblem, OPERATIONS } from '../gen/admin-api.ts';
import { type AdminEvent, readEvents } from './event-parser.ts';

export type { AdminEvent } from './event-parser.ts';

/** The address of a server. */
export type AdminTarget =
  | {
      readonly socketPath: string;
      /** A hint for a missing socket; undefined: the general message. */
      readonly hint?: () => string | undefined;
    }
  | {
      readonly url: string;
      readonly token?: string | undefined;
      /** Certificates that may have signed the server's, PEM; undefined: the public CAs that Node includes. */
      readonly ca?: string | undefined;
    };

export interface AdminRequest {
  /** Sent as JSON; bytes are sent unchanged, with the media type of the header `content-type`. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The query of an operation. */
export type QueryOf<K extends keyof AdminApi> = Parameters<AdminApi[K]>[0] extends infer Request
  ? NonNullable<NonNullable<Request>['query' & keyof NonNullable<Request>]>
  : never;

/** The operations of the OpenAPI document by their ids, and requests of other forms. */
export interface AdminClient extends AdminApi {
  /** Resolves to the body as text. @throws AdminError */
  text(method: string, path: string, request?: AdminRequest): Promise<string>;
  /** Resolves to the body's JSON; undefined where there is no body. @throws AdminError */
  json<T>(method: string, path: string, request?: AdminRequest): Promise<T>;
  /** Resolves to the text of a long answer in pieces, once the server sends it. @throws AdminError */
  pieces(path: string): Promise<AsyncIterable<string>>;
  /**
   * Resolves to the bytes of the answer, once the server sends them. The bytes end with an error if the connection does
   * so too early. @throws AdminError
   */
  bytes(method: string, path: string): Promise<AsyncIterable<Uint8Array>>;
  /** Resolves to the events from now on, once the server streams them; ends when the server stops. @throws AdminError */
  events(): Promise<AsyncIterable<AdminEvent>>;
}

/** A request that was refused, failed or could not be sent; the message is safe to print on a terminal. */
export class AdminError extends Error {
  /** The problem document's code; `ERR_UNREACHABLE` if no server answered, `ERR_PROTOCOL` if the server is not Sidekey. */
  readonly code: string;
  /** The HTTP status; 0 without an answer. */
  readonly status: number;
  readonly problems: readonly InputProblem[];

  constructor(
    code: string,
    status: number,
    message: string,
    problems: readonly InputProblem[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'AdminError';
    this.code = code;
    this.status = status;
    this.problems = problems;
  }
}

/** Time limit of a request, in milliseconds: no request of the admin API takes longer. */
const TIMEOUT_MS = 30_000;
/** Longest silence on an event stream, in milliseconds: the server sends an event or a comment at least every 15 s. */
const SILENCE_MS = 45_000;

/** Longest silence before the server sends the first byte of a long answer, and within it, in milliseconds. */
const LONG_SILENCE_MS = 600_000;

export function connectAdmin(target: AdminTarget): AdminClient {
  const answer = async (method: string, path: string, request: AdminRequest = {}) => {
    const { status, body } = await send(target, method, path, request);
    if (status >= 300) throw refused(status, body);
    return { status, body };
  };
  const pieces = async (path: string) => {
    const response = await open(target, 'GET', path, {}, { timeout: SILENCE_MS });
    if (response.statusCode !== 200) throw refused(response.statusCode!, await textOf(target, response));
    return chunksOf(target, response);
  };
  const json = async <T>(method: string, path: string, request?: AdminRequest) => {
    const { status, body } = await answer(method, path, request);
    try {
      return (body === '' ? undefined : JSON.parse(body)) as T;
    } catch (cause) {
      throw new AdminError('ERR_PROTOCOL', status, "the answer is not JSON: is this Sidekey's admin address?", [], {
        cause,
      });
    }
  };
  const operations = Object.entries(OPERATIONS).map(([id, [method, template]]) => [
    id,
    (request: OperationRequest = {}) => json(method, pathOf(template, request), plainRequest(request)),
  ]);
  return {
    ...(Object.fromEntries(operations) as AdminApi),
    text: async (method, path, request) => (await answer(method, path, request)).body,
    json,
    pieces,
    bytes: async (method, path) => {
      const response = await open(target, method, path, {}, { timeout: LONG_SILENCE_MS });
      if (response.statusCode !== 200) throw refused(response.statusCode!, await textOf(target, response));
      return bytesOf(target, response);
    },
    events: async () => readEvents(await pieces('/v1/events')),
  };
}

/** A request as the functions of {@link AdminApi} take it. */
interface OperationRequest {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

function pathOf(template: string, { path = {}, query = {} }: OperationRequest): string {
  const place = template.replace(/\{(\w+)\}/g, (_braces, name: string) => encodeURIComponent(path[name] ?? ''));
  const given = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().flatMap((one): [string, string][] => (one === undefined ? [] : [[name, String(one)]])),
  );
  return given.length === 0 ? place : `${place}?${new URLSearchParams(given)}`;
}

function plainRequest({ headers = {}, body, contentType }: OperationRequest): AdminRequest {
  const all = { ...headers, 'content-type': contentType };
  const given = Object.entries(all).filter((header): header is [string, string] => header[1] !== undefined);
  return { body, headers: Object.fromEntries(given) };
}

async function send(
  target: AdminTarget,
  method: string,
  path: string,
  request: AdminRequest,
): Promise<{ status: number; body: string }> {
  const response = await open(target, method, path, request, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  return { status: response.statusCode!, body: await textOf(target, response) };
}

async function textOf(target: AdminTarget, response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of chunksOf(target, response)) text += chunk;
  return text;
}

async function* bytesOf(target: AdminTarget, response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of response) yield piece as Buffer;
  } catch (thrown) {
    throw unreachable(target, thrown as NodeJS.ErrnoException);
  }
}

async function* chunksOf(target: AdminTarget, response: IncomingMessage): AsyncGenerator<string> {
  try {
    for await (const chunk of response.setEncoding('utf8')) yield chunk as string;
  } catch (thrown) {
    throw unreachable(target, thrown as NodeJS.ErrnoException);
  }
}

/** Sends a request; resolves with the head of the answer. @throws AdminError */
async function open(
  target: AdminTarget,
  method: string,
  path: string,
  { body, headers = {} }: AdminRequest,
  limits: { readonly signal: AbortSignal } | { readonly timeout: number },
): Promise<IncomingMessage> {
  // TLS is not needed over a socket, and takes long to load.
  const isTls = 'url' in target && target.url.startsWith('https:');
  const { request } = isTls ? await import('node:https') : http;
  const payload = body === undefined || body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
  const options = {
    method,
    headers: {
      ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
      ...('url' in target && target.token !== undefined ? { authorization: `Bearer ${target.token}` } : {}),
      ...headers,
    },
    agent: false,
    ...limits,
    // Without TLS no server name is needed; Node would still test whether the host is an address, with an expression that
    // is slow to compile.
    ...(isTls ? { ca: target.ca } : { servername: '' }),
  } as const;
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing =
        'url' in target
          ? request(urlOf(target.url, path), options)
          : request({ ...options, socketPath: target.socketPath, path });
      // A server that refuses a large body answers before it has read it all; later errors of the connection are ignored.
      outgoing.on('response', resolve).on('error', reject).end(payload);
      const silence = 'timeout' in limits ? limits.timeout : TIMEOUT_MS;
      let silent: { destroy(error: Error): unknown } = outgoing;
      outgoing.on('response', (response) => {
        silent = response;
      });
      outgoing.on('timeout', () => silent.destroy(new Error(`the server sent nothing for ${silence / 1000} s`)));
    });
  } catch (thrown) {
    throw unreachable(target, thrown as NodeJS.ErrnoException);
  }
}

/** Appends the path to the URL's own path, which a server behind a proxy has. */
function urlOf(base: string, path: string): URL {
  const { origin, pathname } = new URL(base);
  return new URL(`${origin}${pathname.replace(/\/+$/, '')}${path}`);
}

const SPEAKS_TLS = 'this port speaks TLS, so use an https:// URL';

function refused(status: number, body: string): AdminError {
  try {
    const {
      code,
      detail,
      title,
      errors = [],
    } = JSON.parse(body) as Record<string, unknown> & { errors?: InputProblem[] };
    if (typeof code === 'string') return new AdminError(code, status, String(detail ?? title), errors);
  } catch {
    // Not a problem document: handled below.
  }
  // The TLS servers of Go and nginx answer clear text with this message.
  const isForTls = /HTTP request (was sent )?to (an )?HTTPS/i.test(body);
  const why = isForTls ? SPEAKS_TLS : "is this Sidekey's admin address?";
  return new AdminError('ERR_PROTOCOL', status, `the server answered ${status} without a reason: ${why}`);
}

/** Codes of OpenSSL for a certificate whose issuer is not trusted. */
const UNTRUSTED = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

function unreachable(target: AdminTarget, cause: NodeJS.ErrnoException): AdminError {
  const place = 'url' in target ? target.url : target.socketPath;
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'this socket does not exist: start sidekey serve, or give --admin-socket the path that the server has',
    ECONNREFUSED: 'no process listens there: start sidekey serve',
    EACCES: 'only the user who runs sidekey serve, and root, may use it',
    ABORT_ERR: `no answer within ${TIMEOUT_MS / 1000} s`,
    HPE_INVALID_CONSTANT: `no HTTP answer: if ${SPEAKS_TLS}`,
    EPROTO:
      'TLS failed: if this port speaks clear text, as the admin API does without --admin-tls-cert, use an http:// URL',
    ERR_SSL_WRONG_VERSION_NUMBER:
      'this port speaks clear text, as the admin API does without --admin-tls-cert: use an http:// URL',
    ERR_SSL_PACKET_LENGTH_TOO_LONG:
      'this port speaks clear text, as the admin API does without --admin-tls-cert: use an http:// URL',
    ...Object.fromEntries(
      UNTRUSTED.map((code) => [
        code,
        `its certificate is not signed by a CA that is trusted here (${code}): name the CA with --admin-ca-file`,
      ]),
    ),
    CERT_HAS_EXPIRED:
      "its certificate has expired: replace the files of the server's --admin-tls-cert and --admin-tls-key",
    ERR_TLS_CERT_ALTNAME_INVALID: `its certificate is for other names: ${cause.message}`,
    TimeoutError: `no answer within ${TIMEOUT_MS / 1000} s`,
  };
  if ('url' in target && !target.url.startsWith('https:') && cause.code === 'ECONNRESET') {
    const why = `the connection was closed without an answer; if ${SPEAKS_TLS}`;
    return new AdminError('ERR_UNREACHABLE', 0, `${place}: ${why}`, [], { cause });
  }
  const hint = cause.code === 'ENOENT' && 'hint' in target ? target.hint?.() : undefined;
  const reason = hint ?? reasons[cause.code ?? ''] ?? reasons[cause.name] ?? cause.message;
  return new AdminError('ERR_UNREACHABLE', 0, `${place}: ${reason}`, [], { cause });
}
