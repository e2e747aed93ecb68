/** One Envoy whose secrets the test pushes: as a server with listeners, as a client with clusters. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { freePorts } from '../../../envoy-examples/demo/ports.ts';
import { Secret } from '../../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type { TrustBundle } from '../../../src/spiffe/bundle.ts';
import { httpFilter, pipeCluster, sdsSource, secretConfig, startEnvoy } from '../../support/running-envoy.ts';
import { SecretPusher } from '../../support/secret-pusher.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { contextSecret, leafOnlySecret } from './contexts.ts';
import { greet, startGreeter } from './greeting.ts';
import type { Certified, LeafName, Pki } from './pki.ts';
import { hostOf, PORT_HEADER, RESUMED_HEADER, startUpstream } from './upstream.ts';

const SOURCE = sdsSource('sds', '0.05s');

/** Names of secrets that are validation contexts: of the SPIFFE validator, or plain. */
const CONTEXTS = [
  'spiffe',
  'plain',
  'plain, leaf only',
  'spiffe, sessions',
  'plain, sessions',
  'spiffe, ending',
  'plain, ending',
] as const;
export type ContextName = (typeof CONTEXTS)[number];

/** True if Envoy as a client may resume sessions; in the other contexts it verifies a certificate for each connection. */
const hasSessions = (context: ContextName) => context.endsWith('sessions');

const TICKET_KEYS = {
  none: {},
  file: (filename: string) => ({ session_ticket_keys: { keys: [{ filename }] } }),
  SDS: { session_ticket_keys_sds_secret_config: secretConfig('ticket keys', SOURCE) },
};
/** The source of a listener's session ticket keys; with `none` Envoy makes its own. */
export type TicketKeys = keyof typeof TICKET_KEYS;
const TICKET_KEYS_KINDS = Object.keys(TICKET_KEYS) as TicketKeys[];

/** Envoy's answer to a request that it passes on. */
export interface Passed {
  readonly status: number;
  /** Envoy's port of the upstream connection. */
  readonly port: string;
  readonly isResumed: boolean;
  /** Response flags, and why TLS failed. */
  readonly why: string;
}

interface Ports {
  /** Of listeners, by {@link keyOf}. */
  readonly tls: ReadonlyMap<string, number>;
  readonly egress: number;
}

export class Stage {
  readonly pki: Pki;
  readonly #pusher: SecretPusher;
  readonly #ports: Ports;
  readonly #clients = new Map<LeafName, tls.SecureContext>();

  private constructor(pki: Pki, pusher: SecretPusher, ports: Ports) {
    this.pki = pki;
    this.#pusher = pusher;
    this.#ports = ports;
  }

  /** Starts it with the bundle R in each context. */
  static async set(t: TestContext, binary: string, pki: Pki): Promise<Stage> {
    const directory = tempDir(t);
    const ticketKeys = path.join(directory, 'ticket.keys');
    writeFileSync(ticketKeys, randomBytes(TICKET_KEY_BYTES));
    const socket = path.join(directory, 'sds.sock');
    const pusher = await SecretPusher.start(t, socket);
    const [greeter, upstream] = [await startGreeter(t), await startUpstream(t, pki)];
    const ways = CONTEXTS.flatMap((context) =>
      TICKET_KEYS_KINDS.filter((keys) => keys === 'none' || hasSessions(context)).map((keys) => ({ context, keys })),
    );
    const [egress, ...free] = (await freePorts(ways.length + 1)) as [number, ...number[]];
    const listeners = ways.map(({ context, keys }, i) => {
      const given = TICKET_KEYS[keys];
      return tlsListener(free[i]!, context, typeof given === 'function' ? given(ticketKeys) : given);
    });
    const clusters = CONTEXTS.map((context) => tlsCluster(context, upstream));
    const envoy = await startEnvoy(t, binary, {
      node: { id: 'revocation', cluster: 'revocation' },
      static_resources: {
        listeners: [...listeners, listener(egress, httpFilter(BY_HEADER))],
        clusters: [...clusters, cluster('greeter', greeter), pipeCluster('sds', socket)],
      },
    });
    const tlsPorts = new Map(ways.map(({ context, keys }, i) => [keyOf(context, keys), free[i]!]));
    const stage = new Stage(pki, pusher, { tls: tlsPorts, egress });
    const bundle = pki.bundle('R');
    await Promise.all([
      stage.push(certificateOf(pki.servers[0])),
      stage.pushTicketKeys(),
      ...CONTEXTS.map((context) => stage.pushBundle(context, bundle)),
    ]);
    await envoy.live();
    return stage;
  }

  /** Pushes a secret and waits for its ACK, from which on it is in force. */
  async push(secret: Secret): Promise<void> {
    assert.equal(await this.#pusher.push(secret), '', `Envoy refuses ${secret.name}`);
  }

  /** Pushes a bundle that Envoy does not accept. @return its message */
  pushBad(context: ContextName, bundle: TrustBundle): Promise<string> {
    return this.#refuse(contextOf(context, bundle));
  }

  /** Pushes a server certificate with the key of another one. @return Envoy's message */
  pushBadServer(): Promise<string> {
    const [{ cert }, { key }] = this.pki.servers;
    return this.#refuse(certificateOf({ cert, key }));
  }

  async #refuse(secret: Secret): Promise<string> {
    const message = await this.#pusher.push(secret);
    assert.notEqual(message, '', `Envoy accepts ${secret.name}`);
    return message;
  }

  /** Pushes a bundle to a context. @param bundle or its blocks; see {@link Pki.bundle} */
  async pushBundle(context: ContextName, bundle: TrustBundle | string): Promise<void> {
    await this.push(contextOf(context, typeof bundle === 'string' ? this.pki.bundle(bundle) : bundle));
  }

  /** Pushes another certificate for Envoy as a server. */
  async pushServer(): Promise<void> {
    await this.push(certificateOf(this.pki.servers[1]));
  }

  /** Pushes new keys for session tickets. */
  async pushTicketKeys(): Promise<void> {
    const keys = [{ inlineBytes: randomBytes(TICKET_KEY_BYTES) }];
    await this.push(Secret.fromPartial({ name: 'ticket keys', sessionTicketKeys: { keys } }));
  }

  /** A client with this leaf connects to a listener of this context. @return `ok` or the alert */
  async asServer(context: ContextName, leaf: LeafName): Promise<string> {
    return (await greet(this.port(context), this.client(leaf))).outcome;
  }

  port(context: ContextName, keys: TicketKeys = 'none'): number {
    return this.#ports.tls.get(keyOf(context, keys))!;
  }

  /** For a client with this leaf, which trusts Envoy's certificate. */
  client(leaf: LeafName): tls.SecureContext {
    let context = this.#clients.get(leaf);
    if (context === undefined) {
      context = tls.createSecureContext({ ...this.pki.leaves[leaf], ca: this.pki.serverRoot });
      this.#clients.set(leaf, context);
    }
    return context;
  }

  /** Envoy connects to a server with this leaf. @return `ok`, or the status, the response flags and what TLS failed at */
  async asClient(context: ContextName, leaf: LeafName): Promise<string> {
    const { status, why } = await this.pass(context, leaf);
    if (status === 200) return 'ok';
    return `${status} ${why.replace(/TLS_error:.*OPENSSL_internal:([A-Z_]+).*/, '$1')}`;
  }

  /** Sends a request that Envoy passes on to the server with this leaf. */
  pass(context: ContextName, leaf: LeafName, place = '/'): Promise<Passed> {
    return new Promise((resolve, reject) => {
      const headers = { host: hostOf(leaf), [CLUSTER_HEADER]: context };
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const asked = request({
        host: '127.0.0.1',
        port: this.#ports.egress,
        path: place,
        headers,
        agent: false,
        signal,
      });
      asked.on('error', reject).on('response', (response) => {
        const text = (name: string) => String(response.headers[name] ?? '');
        const [port, isResumed] = [text(PORT_HEADER), text(RESUMED_HEADER) === 'true'];
        response.on('error', reject).on('end', () => {
          resolve({ status: response.statusCode!, port, isResumed, why: text(WHY_HEADER) });
        });
        response.resume();
      });
      asked.end();
    });
  }
}

const TICKET_KEY_BYTES = 80;
const TIMEOUT_MS = 10_000;
const CLUSTER_HEADER = 'x-cluster';
const WHY_HEADER = 'x-why';

const BY_HEADER = {
  route: { cluster_header: CLUSTER_HEADER },
  response_headers_to_add: [
    { header: { key: WHY_HEADER, value: '%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%' } },
  ],
};

const keyOf = (context: ContextName, keys: TicketKeys) => `${context} ${keys}`;

function contextOf(name: ContextName, bundle: TrustBundle): Secret {
  if (name === 'plain, leaf only') return leafOnlySecret(name, bundle);
  return contextSecret(name, name.startsWith('spiffe') ? 'spiffe' : 'plain', bundle);
}

function certificateOf({ cert, key }: Certified): Secret {
  const tlsCertificate = {
    certificateChain: { inlineBytes: Buffer.from(cert) },
    privateKey: { inlineBytes: Buffer.from(key) },
  };
  return Secret.fromPartial({ name: 'server', tlsCertificate });
}

const TYPES = 'type.googleapis.com/envoy.extensions';

function listener(port: number, filter: object, chain: object = {}) {
  return {
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ ...chain, filters: [filter] }],
  };
}

/** A listener that leads to the greeter. */
function tlsListener(port: number, context: ContextName, ticketKeys: object) {
  const type = `${TYPES}.filters.network.tcp_proxy.v3.TcpProxy`;
  const filter = {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: { '@type': type, stat_prefix: 'greeter', cluster: 'greeter' },
  };
  return listener(port, filter, {
    transport_socket: transportSocket('DownstreamTlsContext', {
      ...ticketKeys,
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [secretConfig('server', SOURCE)],
        validation_context_sds_secret_config: secretConfig(context, SOURCE),
      },
    }),
  });
}

function transportSocket(message: string, config: object) {
  const typed = { '@type': `${TYPES}.transport_sockets.tls.v3.${message}`, ...config };
  return { name: 'envoy.transport_sockets.tls', typed_config: typed };
}

function cluster(name: string, port: number) {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

/** A cluster whose SNI is the request's host. */
function tlsCluster(context: ContextName, port: number) {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    ...cluster(context, port),
    typed_extension_protocol_options: {
      [options]: {
        '@type': `type.googleapis.com/${options}`,
        explicit_http_config: { http_protocol_options: {} },
        upstream_http_protocol_options: { auto_sni: true },
      },
    },
    transport_socket: transportSocket('UpstreamTlsContext', {
      ...(hasSessions(context) ? {} : { max_session_keys: 0 }),
      common_tls_context: { validation_context_sds_secret_config: secretConfig(context, SOURCE) },
    }),
  };
}
