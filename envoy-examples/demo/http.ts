/** HTTP requests to the demo's parts, over TCP, TLS or a Unix socket. */

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
  /** Where `http://…` is spoken instead of TCP. */
  readonly socketPath?: string;
  /** The certificate, PEM, that an `https://` server must show. */
  readonly ca?: string;
  readonly agent?: Agent;
}

/** Whoever is silent for so long is down. */
const TIMEOUT_MS = 10_000;

/** @throws Error when there is no answer */
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
