/** HTTP requests over TCP, TLS or a Unix socket. */

import { type Agent, type IncomingHttpHeaders, request as plain } from 'node:http';
import { request as secure } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Call {
  readonly method?: string;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** A Unix socket to use instead of TCP. */
  readonly socketPath?: string;
  /** The certificate that an `https://` server must have, as PEM. */
  readonly ca?: string;
  /** The name in that certificate, if the URL has another one. */
  readonly servername?: string;
  readonly agent?: Agent;
}

const TIMEOUT_MS = 10_000;

/** @throws Error if there is no answer within {@link TIMEOUT_MS} */
export function call(url: string, { method = 'GET', json, ...options }: Call = {}): Promise<Answer> {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? secure : plain)(
      url,
      { method, headers, ...options, signal: AbortSignal.timeout(TIMEOUT_MS) },
      (response) => {
        response.setEncoding('utf8');
        response.on('error', reject);
        response.toArray().then((chunks) => {
          resolve({ status: response.statusCode!, headers: response.headers, body: chunks.join('') });
        }, reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
