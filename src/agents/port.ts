/**
 * The agent port: TLS on TCP, HTTP/2, gRPC. A client may show an SVID; all that it may call without one is AttestAgent and
 * GetBundle. Anybody may connect, so connections, handshakes and rates are limited by address before any work is done.
 */

import { constants, X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { SocketReading } from '../attest/index.ts';
import type { Refusal } from '../audit/index.ts';
import { type Clock, countedAddress, type Deadline, readTrustedFile, SidekeyError, UnderTls } from '../base/index.ts';
import { type CertificateAuthority, type LaggingProxy, OwnSvid, type X509Svid } from '../ca/index.ts';
import type { JwtSvids } from '../jwt/index.ts';
import { MemoryBudget, Owners, Quota, Rates, type Turns } from '../limits/index.ts';
import type { Registry } from '../registry/index.ts';
import { certificateBlocks, type SpiffeId, trustDomainId } from '../spiffe/index.ts';
import { type Counters, type Log, Rarely } from '../telemetry/index.ts';
import { createWire } from '../wire/index.ts';
import { Access, actorOf } from './access.ts';
import { agentService } from './agent-service.ts';
import { Attachments } from './attachments.ts';
import { type ChainLink, readLink } from './attest/chain.ts';
import { AuthorizedEntries } from './authorized.ts';
import { bundleService } from './bundle-service.ts';
import type { AgentCounts, ConnectionRefusal } from './counts.ts';
import { entryService } from './entry-service.ts';
import { AgentPeer, svidOf } from './peer.ts';
import { svidService } from './svid-service.ts';

/** What the agent port uses of the server. */
export interface AgentPortParts {
  readonly registry: Registry;
  readonly ca: CertificateAuthority;
  readonly jwtSvids: Pick<JwtSvids, 'sign'>;
  readonly turns: Turns;
  /** Maximum number of connections. */
  readonly maxConnections: number;
  readonly onRefused: (refusal: Refusal) => void;
}

export interface AgentPortOptions extends AgentPortParts {
  readonly listen: { readonly host: string; readonly port: number };
  /** File with the authorities of agents' certificates, PEM; undefined: x509pop is off. */
  readonly popCaFile: string | undefined;
  /** Seconds. */
  readonly agentTtl: number;
  readonly x509SvidTtl: number;
  readonly jwtSvidTtl: number;
  readonly counts: AgentCounts;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AgentPort {
  readonly address: AddressInfo;
  /** Number of agents that are connected with an SVID. */
  readonly connected: number;
  /** Memory that is charged to agents and strangers, in bytes. */
  readonly heldBytes: number;
  /** The connected agents whose own SVID one of these authorities signed, for as long as they may delay a taint. */
  using(authorityIds: ReadonlySet<string>): Iterable<LaggingProxy>;
  /** Agents of Sidekey that are attached, and what they say of their streams. */
  readonly attachments: Attachments;
  /** Ends all calls with UNAVAILABLE, and closes the connections. */
  close(): Promise<void>;
}

/** Connections from one address; many agents may be behind one. */
const CONNECTIONS_PER_ADDRESS = 2_000;
/** Handshakes at once, of all and from one address. */
const HANDSHAKES = 256;
const HANDSHAKES_PER_ADDRESS = 64;
const HANDSHAKE_MS = 5_000;
/** New connections from one address: a burst, and a rate per second. */
const CONNECTS = [500, 50] as const;
/** Attestations from one address. */
const ATTESTATIONS = [20, 2] as const;
/** Of one connection: memory in MB, and calls at once. A stock agent has one call at a time, and one for each foreign bundle. */
const SESSION = { memory: 16, streams: 64 };
/** Without an SVID a connection has few things to do. */
const STRANGER_MS = 60_000;
/** As SPIRE does, so that agents come back with their newest SVID, and to all servers behind one name. */
const LONGEST_CONNECTION_MS = 180_000;
/** Calls and requests of one agent, or of one address without an SVID. */
const CALLS = 128;
const REQUESTS_PER_SECOND = 200;
const MEMORY_PER_OWNER = 32 * 1024 * 1024;
const MEMORY = 256 * 1024 * 1024;
const DRAIN_MS = 2_000;
/** A stock agent makes its SVID anew within 5 s after it learns of a taint; one that does not must not keep the root. */
const TAINT_MS = 60_000;
const ROOT_LEFT_MS = 30_000;
const LOG_MS = 10_000;
const MAX_CA_BYTES = 1024 * 1024;

/** @throws ERR_CONFIG if the file of authorities cannot be used; ERR_SOCKET */
export async function startAgentPort(options: AgentPortOptions): Promise<AgentPort> {
  const popRoots = options.popCaFile === undefined ? undefined : await readRoots(options.popCaFile);
  const port = new Port(options, popRoots);
  try {
    await port.open();
  } catch (error) {
    await port.close();
    throw error;
  }
  return port;
}

class Port implements AgentPort {
  readonly #options: AgentPortOptions;
  readonly #listener: net.Server;
  readonly #secure: tls.Server;
  readonly #underTls: UnderTls;
  readonly #wire;
  readonly #access: Access;
  readonly #authorized: AuthorizedEntries;
  readonly attachments: Attachments;
  /** The ends of connections. */
  readonly #ends = new Map<AgentPeer, Deadline>();
  readonly #owners = new Owners();
  readonly #quota: Quota;
  readonly #memory: MemoryBudget;
  readonly #connects: Rates;
  readonly #lines: Rarely;
  readonly #stops: (() => void)[];
  /** Open sockets by address. */
  readonly #open = new Map<string, Set<net.Socket>>();
  /** Sockets whose handshake has not ended, and their addresses. */
  readonly #handshaking = new Map<net.Socket, string>();
  #ownSvid: OwnSvid | undefined;
  readonly #agents = new Set<AgentPeer>();
  /** Tainted authorities, and since when it is asked who uses them. */
  readonly #tainted = new Map<string, number>();
  #connections = 0;
  #leaving: Deadline | undefined;
  #roots: readonly Buffer[];
  #isReady = false;
  #isListening = false;
  #nextPeer = 1;

  constructor(options: AgentPortOptions, popRoots: readonly ChainLink[] | undefined) {
    const {
      registry,
      ca,
      jwtSvids,
      clock,
      log,
      counts,
      counters,
      turns,
      agentTtl,
      x509SvidTtl,
      jwtSvidTtl,
      onRefused,
    } = options;
    this.#options = options;
    this.#roots = ca.bundle().x509Authorities;
    this.#connects = new Rates(...CONNECTS, clock);
    this.#lines = new Rarely(clock, LOG_MS);
    this.#access = new Access({ registry, clock, counts, onRefused });
    this.#authorized = new AuthorizedEntries({ registry, ca, clock });
    const shared = { registry, ca, access: this.#access, authorized: this.#authorized, counts, clock, log };
    this.attachments = new Attachments({
      ...{ registry, ca, access: this.#access, authorized: this.#authorized, x509SvidTtl, jwtSvidTtl, clock, log },
      onAttached: (peer) => this.#lastAsSvid(peer),
    });
    const attestRates = new Rates(...ATTESTATIONS, clock);
    this.#quota = new Quota(
      {
        ...{ connectionsPerUid: CALLS, connectsPerSecondPerUid: CALLS, connections: options.maxConnections },
        ...{ callsPerUid: CALLS, refusedStreamsPerUid: CALLS, requestsPerSecondPerUid: REQUESTS_PER_SECOND },
      },
      counters,
    );
    this.#memory = new MemoryBudget({ memoryPerOwner: MEMORY_PER_OWNER, memory: MEMORY }, this.#owners, counters);
    this.#wire = createWire<AgentPeer>({
      methods: [
        ...agentService({ ...shared, attestRates, popRoots, agentTtl }),
        ...entryService({ ...shared, x509SvidTtl }),
        ...svidService({ ...shared, jwtSvids }),
        ...bundleService(shared),
        this.attachments.method,
      ],
      ...{ clock, log, turns, quota: this.#quota, sessions: SESSION },
      memory: this.#memory,
    });
    this.#secure = tls.createServer({
      ...{ requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['h2'], minVersion: 'TLSv1.2' },
      ...{
        handshakeTimeout: HANDSHAKE_MS,
        secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
      },
    });
    this.#underTls = new UnderTls(this.#secure);
    this.#secure.on('secureConnection', (socket) => this.#secured(socket));
    this.#secure.on('tlsClientError', (_error, socket) => socket.destroy());
    this.#listener = net.createServer({ noDelay: true }, (socket) => this.#connected(socket));
    this.#stops = [ca.onBundleChange(() => this.#bundleChanged())];
  }

  get address(): AddressInfo {
    return this.#listener.address() as AddressInfo;
  }

  get heldBytes(): number {
    return this.#memory.heldBytes;
  }

  get connected(): number {
    return new Set([...this.#agents].map(({ svid }) => svid?.id)).size;
  }

  *using(authorityIds: ReadonlySet<string>): Iterable<LaggingProxy> {
    const now = this.#options.clock.now();
    for (const id of this.#tainted.keys()) if (!authorityIds.has(id)) this.#tainted.delete(id);
    for (const id of authorityIds) if (!this.#tainted.has(id)) this.#tainted.set(id, now);
    const waited = [...this.#tainted].filter(([, since]) => now - since <= TAINT_MS).map(([id]) => id);
    yield* this.attachments.using(new Set(waited));
    for (const { svid } of this.#agents) {
      const since = svid === undefined ? undefined : this.#tainted.get(svid.authorityId);
      if (svid === undefined || since === undefined || now - since > TAINT_MS) continue;
      yield { pid: 0, uid: 0, node: svid.id, name: svid.id, rejection: undefined };
    }
  }

  async open(): Promise<void> {
    await this.#openOwnSvid();
    const { host, port } = this.#options.listen;
    try {
      const { address } = await lookup(host);
      this.#listener.listen({ host: address, port });
      await once(this.#listener, 'listening');
      this.#isListening = true;
    } catch (cause) {
      throw new SidekeyError('ERR_SOCKET', `--agent-listen ${host}:${port}: ${(cause as Error).message}`, { cause });
    }
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#ownSvid?.close();
    this.#leaving?.cancel();
    const closed = this.#isListening ? once(this.#listener, 'close') : Promise.resolve();
    this.#listener.close();
    for (const socket of this.#handshaking.keys()) socket.destroy();
    await this.#wire.close(DRAIN_MS);
    for (const sockets of this.#open.values()) for (const socket of sockets) socket.destroy();
    this.attachments.close();
    this.#authorized.close();
    await closed;
  }

  async #openOwnSvid(): Promise<void> {
    const { ca, registry, clock, log } = this.#options;
    // Stock agents accept no other ID.
    const spiffeId = `${trustDomainId(registry.trustDomain)}/spire/server` as SpiffeId;
    const request = { spiffeId, entryId: '', keyType: 'ec-p256' } as const;
    const parts = { ca, revocations: registry.revocations, clock, log };
    const own = await OwnSvid.open({ ...request, ...parts, owner: 'the agent port' });
    this.#ownSvid = own;
    own.onNew(() => this.#useContext());
    this.#useContext();
  }

  #connected(socket: net.Socket): void {
    socket.on('error', () => undefined);
    const address = countedAddress(socket.remoteAddress);
    const refusal = this.#whyRefused(address);
    if (refusal !== undefined) {
      this.#refuse(refusal, address);
      socket.destroy();
      return;
    }
    const ofAddress = this.#open.get(address) ?? new Set<net.Socket>();
    this.#open.set(address, ofAddress.add(socket));
    this.#connections += 1;
    this.#handshaking.set(socket, address);
    socket.once('close', () => {
      this.#handshaking.delete(socket);
      this.#connections -= 1;
      ofAddress.delete(socket);
      if (ofAddress.size === 0) this.#open.delete(address);
    });
    this.#secure.emit('connection', socket);
  }

  #whyRefused(address: string): ConnectionRefusal | undefined {
    if (!this.#isReady) return 'starting';
    if (!this.#connects.take(address)) return 'rate';
    const isFull = this.#connections >= this.#options.maxConnections;
    if (isFull || (this.#open.get(address)?.size ?? 0) >= CONNECTIONS_PER_ADDRESS) return 'connections';
    if (this.#handshaking.size >= HANDSHAKES) return 'handshakes';
    let fromIt = 0;
    for (const one of this.#handshaking.values()) if (one === address) fromIt += 1;
    return fromIt >= HANDSHAKES_PER_ADDRESS ? 'handshakes' : undefined;
  }

  #refuse(refusal: ConnectionRefusal, address: string, reason?: string): void {
    const { counts, log } = this.#options;
    counts.refusedConnections.add(refusal);
    if (this.#lines.mayTell() === undefined) return;
    log.warn({ address, refusal, reason }, 'the agent port refused a connection');
  }

  #secured(socket: TLSSocket): void {
    const { registry, onRefused, clock } = this.#options;
    const { remoteAddress } = socket;
    const address = countedAddress(remoteAddress);
    const connection = this.#underTls.connectionOf(socket);
    if (connection !== undefined) this.#handshaking.delete(connection);
    socket.on('error', () => undefined);
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return;
    }
    let svid: AgentPeer['svid'];
    try {
      svid = svidOf(socket, registry.trustDomain);
    } catch (error) {
      const reason = (error as Error).message;
      this.#refuse('certificate', address, reason);
      onRefused({
        ...{ action: 'agent.refused', by: actorOf({ svid: undefined, address }), code: 'certificate' },
        first: { reason },
      });
      socket.destroy();
      return;
    }
    const owner = this.#owners.remote(svid?.id ?? `address ${address}`, svid === undefined);
    const peer = new AgentPeer(`agent-${this.#nextPeer++}`, socket, { owner, address, svid });
    if (svid !== undefined) this.#agents.add(peer);
    const longest = svid === undefined ? STRANGER_MS : LONGEST_CONNECTION_MS;
    this.#ends.set(
      peer,
      clock.after(longest, () => this.#wire.retire(peer)),
    );
    peer.onGone(() => {
      this.#ends.get(peer)?.cancel();
      this.#ends.delete(peer);
      this.#agents.delete(peer);
    });
    this.#wire.inject(socket, peer, new SocketReading(socket));
  }

  /** An agent of Sidekey has its push stream on the connection, until it attaches with its next SVID. */
  #lastAsSvid(peer: AgentPeer): void {
    if (peer.gone || peer.svid === undefined) return;
    this.#ends.get(peer)?.cancel();
    const end = this.#options.clock.at(peer.svid.notAfter, () => this.#wire.retire(peer));
    this.#ends.set(peer, end);
  }

  /**
   * Certificates whose root has left the bundle are refused in handshakes from now on. Connections that are open stay for a
   * while: a stock agent looks each 5 s whether to renew its SVID, and needs its connection for that.
   */
  #bundleChanged(): void {
    const { x509Authorities } = this.#options.ca.bundle();
    const hasLeft = this.#roots.some((root) => !x509Authorities.some((one) => one.equals(root)));
    this.#roots = x509Authorities;
    this.#useContext();
    if (!hasLeft) return;
    const present = [...this.#agents];
    this.#leaving?.cancel();
    this.#leaving = this.#options.clock.after(ROOT_LEFT_MS, () => {
      for (const peer of present) this.#wire.retire(peer);
    });
  }

  #useContext(): void {
    const { ca } = this.#options;
    const svid = this.#ownSvid?.current;
    const { authoritiesPem, x509Authorities } = ca.bundle();
    if (svid === undefined || x509Authorities.length === 0) return;
    this.#secure.setSecureContext(contextOf(svid, authoritiesPem));
    this.#isReady = true;
  }
}

/** A root of the bundle need not be self-signed: that of an upstream may be an intermediate. */
function contextOf({ certificateChain: cert, privateKey: key }: X509Svid, ca: Buffer): tls.SecureContextOptions {
  return { cert, key, ca, allowPartialTrustChain: true, minVersion: 'TLSv1.2' };
}

async function readRoots(file: string): Promise<ChainLink[]> {
  try {
    const remedy = 'only root and the user of Sidekey may write it';
    const text = await readTrustedFile(file, { closed: false, remedy, maxBytes: MAX_CA_BYTES });
    const blocks = certificateBlocks(text);
    if (blocks.length === 0) throw new Error('it has no certificate');
    return blocks.map((block) => {
      const certificate = new X509Certificate(block);
      if (!certificate.ca) throw new Error(`${certificate.subject} is not an authority`);
      return readLink(certificate);
    });
  } catch (cause) {
    throw new SidekeyError('ERR_CONFIG', `--agent-x509pop-ca ${file}: ${(cause as Error).message}`, { cause });
  }
}
