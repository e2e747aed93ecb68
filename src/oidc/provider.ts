/**
 * OIDC discovery: a listener of its own with two documents, for consumers that verify JWT-SVIDs without SPIFFE. It has no
 * route of the admin API.
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, isLoopback, NewestConnections, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import { type Log, Rarely } from '../telemetry/index.ts';
import { type Answers, answersOf } from './answers.ts';
import { type CertificateFiles, CertificateWatch, readCertificate } from './certificate.ts';

export interface OidcProviderOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** The `iss` of the tokens. */
  readonly issuer: string;
  /** Undefined: clear text, on a loopback address only. */
  readonly tls: CertificateFiles | undefined;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  readonly maxConnections: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OidcProvider {
  readonly address: AddressInfo;
  close(): Promise<void>;
}

/** As on the admin API, in milliseconds. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 } as const;
const HANDSHAKE_MS = 5_000;
/** A request has no body that is read, and few headers. */
const MAX_HEADER_BYTES = 8 * 1024;
const CROWDED_LOG_MS = 10_000;

/** Listens. @throws ERR_CONFIG if the address needs TLS or the certificate cannot be used; ERR_SOCKET */
export async function startOidcProvider(options: OidcProviderOptions): Promise<OidcProvider> {
  const { listen, issuer, tls, ca, clock, log } = options;
  const host = await addressOf(options);
  const answers = answersOf(issuer, () => ca.bundle());
  const server = tls === undefined ? plain(answers) : overTls(answers, tls);
  const connections = limitConnections(server, options);
  server.listen({ host, port: listen.port });
  await once(server, 'listening').catch((error: unknown) => Promise.reject(socketError(options, error)));
  const use = (certificate: object) => (server as HttpsServer).setSecureContext(certificate);
  const watch = tls === undefined ? undefined : new CertificateWatch(tls, use, clock, log);
  return {
    address: server.address() as AddressInfo,
    close: async () => {
      watch?.close();
      const closed = once(server, 'close');
      server.close();
      connections.closeAll();
      await closed;
    },
  };
}

function plain(answers: Answers): Server {
  return serve(createHttpServer({ ...TIMEOUTS, maxHeaderSize: MAX_HEADER_BYTES }), answers);
}

function overTls(answers: Answers, files: CertificateFiles): Server {
  const limits = { ...TIMEOUTS, maxHeaderSize: MAX_HEADER_BYTES, handshakeTimeout: HANDSHAKE_MS };
  return serve(createHttpsServer({ ...limits, ...readCertificate(files), minVersion: 'TLSv1.2' }), answers);
}

function serve(server: Server, answers: Answers): Server {
  return server.on('request', (request, response) => {
    const { status, headers, body } = answers(request.method ?? '', request.url ?? '');
    // A body of the request is not read: the connection ends with the answer.
    const hasBody =
      request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
    const end = hasBody ? { connection: 'close' } : {};
    response.writeHead(status, { ...headers, ...end, 'content-length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? '' : body);
    if (hasBody) response.once('finish', () => request.socket.destroySoon());
  });
}

function limitConnections(server: Server, { maxConnections, clock, log }: OidcProviderOptions): NewestConnections {
  const lines = new Rarely(clock, CROWDED_LOG_MS);
  return new NewestConnections(server, maxConnections, () => {
    if (lines.mayTell() === undefined) return;
    log.warn({ limit: maxConnections }, 'connections to OIDC discovery reached the limit: the oldest ones are closed');
  });
}

/** The address to listen on. The name is resolved only once, so that the checked address is the one that is used. */
async function addressOf(options: OidcProviderOptions): Promise<string> {
  const { host } = options.listen;
  const { address } = await lookup(host).catch((error: unknown) => Promise.reject(socketError(options, error)));
  if (options.tls !== undefined || isLoopback(address)) return address;
  throw SidekeyError.badInput(
    [
      {
        path: '--oidc-listen',
        problem: `${host} is not a loopback address, and there is no TLS certificate`,
        rule: 'whoever can change the keys on the way can forge tokens: give --oidc-cert-file and --oidc-key-file, or listen on 127.0.0.1 behind a proxy',
      },
    ],
    'ERR_CONFIG',
  );
}

function socketError({ listen: { host, port } }: OidcProviderOptions, cause: unknown): SidekeyError {
  return new SidekeyError('ERR_SOCKET', `--oidc-listen ${host}:${port}: ${(cause as Error).message}`, { cause });
}
