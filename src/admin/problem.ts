/**
 * Errors of the admin API: problem documents with a stable code.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9457
 */

import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply } from 'fastify';
import { BODY_LIMIT, ERRORS, type ErrorCode, SidekeyError } from '../base/index.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** Maps Fastify's errors to Sidekey's codes and messages; all other 4xx errors are bad input. */
const OF_FASTIFY: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'ERR_MEDIA_TYPE',
    'send JSON, with the header "Content-Type: application/json"; a bundle may also be application/x-pem-file',
  ],
  FST_ERR_MAX_PARAM_LENGTH: ['ERR_NOT_FOUND', 'nothing has a name that long'],
};

/**
 * Converts any thrown value to a SidekeyError. Details that callers may not see stay in `cause`.
 * @param bodyLimit the maximum size of the request's body, in bytes
 */
export function toSidekeyError(thrown: unknown, bodyLimit: number = BODY_LIMIT): SidekeyError {
  if (thrown instanceof SidekeyError) return thrown;
  const { code, statusCode, message } = thrown as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const detail = `a body has at most ${bodyLimit} bytes here; send less in one request`;
    return new SidekeyError('ERR_TOO_LARGE', detail, { cause: thrown });
  }
  if (code?.startsWith('FST_') && statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const [ours, detail] = OF_FASTIFY[code] ?? ['ERR_BAD_INPUT', String(message)];
    return new SidekeyError(ours, detail, { cause: thrown });
  }
  return SidekeyError.from(thrown);
}

/** The problem document's members; `errors` only if there are any. */
export function problemDocument(error: SidekeyError): Record<string, unknown> {
  const { status, title } = ERRORS[error.code];
  return {
    type: `urn:sidekey:error:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    ...(error.problems.length > 0 ? { errors: error.problems } : {}),
    ...error.extra,
  };
}

/** Answers with the error's problem document. */
export function sendProblem(reply: Pick<FastifyReply, 'code' | 'headers' | 'send'>, error: SidekeyError): FastifyReply {
  return reply
    .code(ERRORS[error.code].status)
    .headers(headers(error))
    .send(JSON.stringify(problemDocument(error)));
}

/** Sends the problem document of an error that occurred before the application got the request. */
export function endWithProblem(response: ServerResponse, error: SidekeyError): void {
  response.writeHead(ERRORS[error.code].status, headers(error)).end(JSON.stringify(problemDocument(error)));
}

/** The same as the text of a whole HTTP response that closes the connection, for a request that could not be read. */
export function rawProblem(error: SidekeyError): string {
  const body = JSON.stringify(problemDocument(error));
  const { status } = ERRORS[error.code];
  const lines = { ...headers(error), 'content-length': String(Buffer.byteLength(body)), connection: 'close' };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('')}\r\n${body}`;
}

function headers(error: SidekeyError): Record<string, string> {
  return {
    'content-type': PROBLEM_TYPE,
    ...(error.code === 'ERR_UNAUTHORIZED' ? { 'www-authenticate': 'Bearer realm="sidekey"' } : {}),
  };
}
