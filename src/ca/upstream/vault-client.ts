/**
 * The HTTP API of Vault and OpenBao: one request, with bounded time and size. It follows no redirect, since the new
 * address would get the token.
 *
 * @see https://openbao.org/api-docs/, https://developer.hashicorp.com/vault/api-docs
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isLoopback, printable } from '../../base/index.ts';
import { MAX_UPSTREAM_ANSWER_BYTES } from './answer.ts';
import { readCertificateFile } from './files.ts';

export interface VaultServer {
  /** `https://vault.example.org:8200`, with a path if a proxy needs one; `http:` to loopback only. */
  readonly address: string;
  readonly namespace: string | undefined;
  /** CAs that may sign its TLS certificate; undefined: the public CAs that Node includes. */
  readonly caFile: string | undefined;
}

export interface VaultRequest {
  readonly method: 'GET' | 'POST';
  /** Below `/v1/`, without a slash at its beginning. */
  readonly path: string;
  readonly token?: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** An answer that is an error. */
export class VaultError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Characters of the server's own error text in a message. */
const SHOWN_ERROR = 500;

/** The JSON of the answer. @throws VaultError; Error if there is no answer, or one that is not Vault's */
export async function askVault(server: VaultServer, asked: VaultRequest): Promise<Readonly<Record<string, unknown>>> {
  const base = new URL(server.address);
  const body = asked.body === undefined ? undefined : JSON.stringify(asked.body);
  const options: RequestOptions & { ca?: string[] } = {
    method: asked.method,
    path: `${base.pathname.replace(/\/$/, '')}/v1/${asked.path}`,
    port: base.port || (base.protocol === 'https:' ? 443 : 80),
    host: base.hostname.replace(/^\[|\]$/g, ''),
    headers: {
      Accept: 'application/json',
      // A Vault agent in front of the server may refuse requests without this header.
      'X-Vault-Request': 'true',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
      ...(asked.token === undefined ? {} : { 'X-Vault-Token': asked.token }),
      ...(server.namespace === undefined ? {} : { 'X-Vault-Namespace': server.namespace }),
    },
    agent: false,
    signal: asked.signal,
  };
  let response: IncomingMessage;
  let text: string;
  try {
    if (base.protocol === 'http:') options.host = await loopbackOf(options.host!);
    else if (server.caFile !== undefined) options.ca = readCertificateFile(server.caFile).map(String);
    const request = base.protocol === 'http:' ? httpRequest(options) : httpsRequest(options);
    // Ignores errors after the response has begun: reading the response reports them.
    request.on('error', () => undefined);
    request.end(body);
    [response] = (await once(request, 'response')) as [IncomingMessage];
    text = await readText(response);
  } catch (error) {
    asked.signal.throwIfAborted();
    throw new Error(reasonOf(error as NodeJS.ErrnoException), { cause: error });
  }
  const { statusCode: status = 0, headers } = response;
  if (status >= 300 && status < 400) {
    const place = printable(String(headers.location ?? 'nowhere').slice(0, SHOWN_ERROR));
    throw new VaultError(status, `it redirects to ${place}: give the address of the active server (--vault-addr)`);
  }
  const answer = parse(text);
  if (status >= 200 && status < 300) {
    if (answer !== undefined || text === '') return answer ?? {};
    throw new Error(
      'it answered with something that is not JSON: is this the address of a Vault or OpenBao (--vault-addr)?',
    );
  }
  throw new VaultError(status, describe(status, answer));
}

/** The address of a host that is reached in clear text. @throws {Error} beyond loopback */
async function loopbackOf(host: string): Promise<string> {
  const { address } = await lookup(host);
  if (isLoopback(address)) return address;
  throw new Error(`${host} is ${address}, not a loopback address, and http has no encryption: use https`);
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_UPSTREAM_ANSWER_BYTES) {
      response.destroy();
      throw new Error(`its answer has more than ${MAX_UPSTREAM_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function describe(status: number, answer: Readonly<Record<string, unknown>> | undefined): string {
  const errors = Array.isArray(answer?.errors) ? answer.errors.map((error) => oneLine(String(error))).join('; ') : '';
  const said = errors.trim() === '' ? '' : `: ${printable(errors.trim().slice(0, SHOWN_ERROR))}`;
  if (status === 503 && /sealed/i.test(errors)) return 'it is sealed (503): unseal it';
  if (status === 429 || status === 472 || status === 473) return `it is a standby server (${status})${said}`;
  return `it answered with status ${status}${said}`;
}

/** Vault lists errors on lines of their own: "1 error occurred:", then "* permission denied". */
function oneLine(error: string): string {
  const [, list = error] = /^\d+ errors? occurred:\s*\*?(.*)$/s.exec(error) ?? [];
  return list
    .split(/\s*\n\s*\*?\s*/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('; ');
}

const UNTRUSTED = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code !== undefined && UNTRUSTED.includes(code)) {
    return `its TLS certificate is not trusted (${code}): give the CA that signed it (--vault-ca-file)`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `its TLS certificate has another name: ${printable(message)}`;
  if (code === 'CERT_HAS_EXPIRED') return 'its TLS certificate has expired';
  if (code === 'EPROTO')
    return `it does not speak TLS there: ${printable(message.trim().replace(/:+$/, '').slice(0, SHOWN_ERROR))}`;
  if (code === undefined) return message;
  return `it cannot be reached: ${message}`;
}
