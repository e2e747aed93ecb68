/**
 * One connection to one server, which has proved its SPIFFE ID before anything is sent. Calls are those of SPIRE's server API
 * and of `proto/sidekey/agent.proto`.
 */

import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { version } from '../base/index.ts';
import { type TrustDomain, trustDomainId, urisOf } from '../spiffe/index.ts';
import { cleaned, Failure, failureOf, IDENTITY } from './failure.ts';
import { MAX_MESSAGE_BYTES, PING_ANSWER_MS, PING_EVERY_MS } from './limits.ts';

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, an IPv6 address in brackets. */
export function nameOf({ host, port }: ServerAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export interface ConnectionParts {
  readonly server: ServerAddress;
  readonly trustDomain: TrustDomain;
  /** Certificates that the server's must be under, PEM. */
  readonly roots: string;
  /** The agent's SVID, PEM; undefined: it has none yet. */
  readonly identity?: { readonly certificateChain: string; readonly privateKey: string } | undefined;
  /** Pings notice a half-open connection. Servers in Go end connections for them. */
  readonly pings: boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The encoding of a message. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A call whose messages go both ways. */
export interface Conversation<Q, R> {
  /** @returns false while the connection is slower than the messages */
  send(message: Q): boolean;
  /** Calls back once, when there is room for messages again. */
  onRoom(listener: () => void): void;
  /** The next message; undefined: the server has ended the call. @throws Failure */
  next(): Promise<R | undefined>;
  cancel(): void;
}

/** After this, calls that have not ended yet end with their connection. */
const LEAVE_MS = 5_000;

export class Connection {
  /** `host:port` */
  readonly server: string;
  readonly #parts: ConnectionParts;
  readonly #client: Client;
  /** Number of requests without an answer. */
  #open = 0;
  #isLeaving = false;

  /** Connects with the first call. */
  constructor(parts: ConnectionParts) {
    const { server, roots: ca, identity, pings } = parts;
    this.#parts = parts;
    this.server = nameOf(server);
    const context = tls.createSecureContext({
      ca,
      ...(identity && { cert: identity.certificateChain, key: identity.privateKey }),
      // A root of a bundle need not be self-signed: that of an upstream may be an intermediate.
      ...{ allowPartialTrustChain: true, minVersion: 'TLSv1.2' },
    });
    const checkServerIdentity = (_host: string, { raw }: { raw: Buffer }) => identityFault(raw, parts.trustDomain);
    this.#client = new Client(
      `dns:${this.server}`,
      credentials.createFromSecureContext(context, { checkServerIdentity }),
      {
        'grpc.use_local_subchannel_pool': 1,
        'grpc.enable_retries': 0,
        'grpc.enable_http_proxy': 0,
        'grpc.service_config_disable_resolution': 1,
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.primary_user_agent': `sidekey/${version()}`,
        // SNI has no addresses.
        ...(net.isIP(server.host) === 0 ? {} : { 'grpc.ssl_target_name_override': parts.trustDomain }),
        ...(pings
          ? {
              'grpc.keepalive_time_ms': PING_EVERY_MS,
              'grpc.keepalive_timeout_ms': PING_ANSWER_MS,
              'grpc.keepalive_permit_without_calls': 1,
            }
          : {}),
      },
    );
  }

  /** The result, unless TCP and TLS are not done within this time. @throws Failure */
  within<T>(ms: number, result: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      result.then(resolve, reject);
      this.#client.waitForReady(Date.now() + ms, (error) => {
        if (error === undefined) return;
        reject(new Failure('unreachable', `${this.server}: no connection within ${ms / 1000} s`));
      });
    });
  }

  /** @throws Failure */
  async ask<Q, R>(path: string, request: Codec<Q>, response: Codec<R>, message: Q, ms: number): Promise<R> {
    this.#open += 1;
    try {
      return await new Promise((resolve, reject) => {
        this.#client.makeUnaryRequest(
          path,
          (one: Q) => Buffer.from(request.encode(one).finish()),
          (bytes: Buffer) => response.decode(bytes),
          message,
          new Metadata(),
          { deadline: Date.now() + ms },
          (error, answer) => {
            if (error === null) resolve(answer!);
            else reject(this.#failed(error));
          },
        );
      });
    } finally {
      this.#open -= 1;
      if (this.#isLeaving && this.#open === 0) this.close();
    }
  }

  /** @param ms undefined: without an end */
  converse<Q, R>(path: string, request: Codec<Q>, response: Codec<R>, ms?: number): Conversation<Q, R> {
    const call = this.#client.makeBidiStreamRequest(
      path,
      (one: Q) => Buffer.from(request.encode(one).finish()),
      (bytes: Buffer) => response.decode(bytes),
      new Metadata(),
      ms === undefined ? {} : { deadline: Date.now() + ms },
    );
    return new GrpcConversation(call, (error) => this.#failed(error));
  }

  /** Lets requests end, and closes. */
  leave(): void {
    this.#isLeaving = true;
    if (this.#open === 0) this.close();
    else setTimeout(() => this.close(), LEAVE_MS).unref();
  }

  close(): void {
    this.#client.close();
  }

  #failed(error: unknown): Failure {
    return failureOf(error, this.server, this.#parts.now());
  }
}

class GrpcConversation<Q, R> implements Conversation<Q, R> {
  readonly #call: ClientDuplexStream<Q, R>;
  readonly #messages: AsyncIterator<R>;
  readonly #failed: (error: unknown) => Failure;
  #isCancelled = false;

  constructor(call: ClientDuplexStream<Q, R>, failed: (error: unknown) => Failure) {
    this.#call = call;
    this.#failed = failed;
    this.#messages = (call as AsyncIterable<R>)[Symbol.asyncIterator]();
    call.on('error', () => undefined);
  }

  send(message: Q): boolean {
    return this.#call.write(message);
  }

  onRoom(listener: () => void): void {
    this.#call.once('drain', listener);
  }

  async next(): Promise<R | undefined> {
    try {
      const { value, done } = await this.#messages.next();
      return done === true ? undefined : value;
    } catch (error) {
      if (this.#isCancelled) return undefined;
      throw this.#failed(error);
    }
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#call.cancel();
  }
}

/** Why the certificate, whose chain is good, is not that of a server of this trust domain. */
export function identityFault(raw: Buffer, trustDomain: TrustDomain): Error | undefined {
  const expected = `${trustDomainId(trustDomain)}/spire/server`;
  const certificate = new X509Certificate(raw);
  const uris = urisOf(certificate);
  if (certificate.ca) return new Error(`${IDENTITY}the server shows the certificate of an authority, not an X509-SVID`);
  const [found] = uris;
  if (uris.length === 1 && found === expected) return undefined;
  const [, domain] = /^spiffe:\/\/([^/]+)/.exec(found ?? '') ?? [];
  const what =
    uris.length === 0 ? 'no SPIFFE ID' : uris.length === 1 ? `the SPIFFE ID ${cleaned(found!)}` : 'several URIs';
  const hint = domain === undefined || domain === trustDomain ? '' : `: it is of the trust domain ${cleaned(domain)}`;
  return new Error(`${IDENTITY}the server has ${what}, not ${expected}${hint}`);
}
