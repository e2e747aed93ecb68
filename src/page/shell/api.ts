/** Requests to the admin API, by the operations of its OpenAPI document. */

import { type AdminApi, type InputProblem, OPERATIONS, type Problem } from '../../gen/admin-api.ts';

/** A request that was refused or could not be sent. */
export class ApiError extends Error {
  /** The code of the problem document; `ERR_UNREACHABLE` if no server answered, `ERR_PROTOCOL` without a document. */
  readonly code: string;
  /** The HTTP status; 0 without an answer. */
  readonly status: number;
  /** The problem document; undefined if there is none. */
  readonly problem: Partial<Problem> | undefined;

  constructor(code: string, status: number, message: string, problem?: Partial<Problem>) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
    this.problem = problem;
  }

  /** Faults of the input, each with its place in the request. */
  get problems(): readonly InputProblem[] {
    return this.problem?.errors ?? [];
  }
}

export interface ApiRequest {
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
}

/** The token that requests other than GET must have; the session sets it. */
let csrf: string | undefined;
let onUnauthorized: (problem: ApiError) => void = () => undefined;

/** @param refused called when the server does not know the session any more */
export function authorize(token: string | undefined, refused: (problem: ApiError) => void): void {
  csrf = token;
  onUnauthorized = refused;
}

/** Sends a request and resolves with its answer, whose status is below 300. @throws ApiError */
export async function send(method: string, path: string, request: ApiRequest = {}): Promise<Response> {
  const { body, signal } = request;
  const given = Object.entries(request.headers ?? {}).filter((header): header is [string, string] => !!header[1]);
  const headers = new Headers(given);
  if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
  if (method !== 'GET' && csrf !== undefined) headers.set('x-sidekey-csrf', csrf);
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: signal ?? null,
    });
  } catch (thrown) {
    if (signal?.aborted) throw thrown;
    throw new ApiError('ERR_UNREACHABLE', 0, 'The server does not answer.');
  }
  if (response.ok) return response;
  const error = await refusal(response);
  if (error.status === 401) onUnauthorized(error);
  throw error;
}

/** The JSON of the answer; undefined where there is no body. @throws ApiError */
export async function json<T>(method: string, path: string, request?: ApiRequest): Promise<T> {
  const response = await send(method, path, request);
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  try {
    const problem = (await response.json()) as Partial<Problem>;
    if (typeof problem.code === 'string')
      return new ApiError(problem.code, status, problem.detail ?? problem.title ?? '', problem);
  } catch {
    // Not a problem document.
  }
  return new ApiError('ERR_PROTOCOL', status, `The server answered ${status} without a reason.`);
}

/** A request as the functions of {@link AdminApi} take it. */
interface OperationRequest {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
}

/** The operations of the OpenAPI document by their ids; each throws {@link ApiError}. */
export const api: AdminApi = Object.fromEntries(
  Object.entries(OPERATIONS).map(([id, [method, template]]) => [
    id,
    ({ path = {}, query, ...request }: OperationRequest = {}) =>
      json(
        method,
        withQuery(
          template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? '')),
          query,
        ),
        request,
      ),
  ]),
) as unknown as AdminApi;

/** Appends a query; a list gives its name once for each value, undefined and '' are left out. */
export function withQuery(path: string, query: Readonly<Record<string, unknown>> = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => (one === undefined || one === '' ? [] : [[name, String(one)]])),
  );
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs)}`;
}
