/**
 * The agent's connection to its servers: opens it, finds another server when one is away, keeps the agent's own SVID fresh,
 * and ends the agent when no server will ever accept it again.
 */

import { status as grpcStatus } from '@grpc/grpc-js';
import { backoffApart, type Deadline, Listeners, SidekeyError } from '../base/index.ts';
import type { Report } from '../gen/sidekey/agent.ts';
import { GetBundleRequest } from '../gen/spire/api/server/bundle.ts';
import { Bundle, PermissionDeniedDetails_Reason as Reason } from '../gen/spire/api/types.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import { Rarely } from '../telemetry/index.ts';
import { Connection, nameOf, type ServerAddress } from './connection.ts';
import { EntryReader } from './entries.ts';
import { Failure } from './failure.ts';
import type { FeedParts } from './feed.ts';
import {
  CONNECT_MS,
  CONNECT_ONE_MS,
  RENEW_FIRST_MS,
  RENEW_LIMIT_MS,
  RETRY_FIRST_MS,
  RETRY_LIMIT_MS,
} from './limits.ts';
import { Membership } from './membership.ts';
import { clocks, type OwnSvid } from './own-svid.ts';
import { API } from './paths.ts';
import { closeSession, leaveSession, openSession, postStatus, type Session } from './session.ts';
import { SvidRequests } from './svids.ts';
import type { NewJwtSvid, NewSvid, Uplink, UplinkOptions, UplinkStatus } from './types.ts';

/** A connection that lasted for less is followed by a pause, in milliseconds. */
const SHORT_MS = 10_000;
/** How often a server that stays away is logged, in milliseconds. */
const LOG_MS = 600_000;
/** Renewals are this much earlier or later, as a part of half of the life. */
const JITTER = 0.1;
const PROBE_MS = 3_000;
/** Between renewals because of a tainted authority, in milliseconds. */
const TAINTED_MS = 10_000;

export class AgentUplink implements Uplink {
  readonly #options: Omit<UplinkOptions, 'attestation'>;
  readonly #membership: Membership;
  readonly #requests: SvidRequests;
  readonly #entries: EntryReader;
  readonly #foreign = new Set<TrustDomain>();
  readonly #listeners: Listeners<void>;
  readonly #lines: Rarely;
  /** Of the server that is tried next. */
  #next: number;
  #status: UplinkStatus;
  #session: Session | undefined;
  #sessionSince = 0;
  /** Those who wait for a connection. */
  readonly #waiting = new Set<() => void>();
  #connecting: Promise<void> | undefined;
  #isAgain = false;
  /** Number of failed rounds, and of short connections, since a long one. */
  #failures = 0;
  /** A server said that the SVID is good for nothing. */
  #mustAttest = false;
  /** Its version was told to a server. */
  #isTold = false;
  #renewal: Deadline | undefined;
  #isRenewing = false;
  #isDue = false;
  #renewFailures = 0;
  /** When this process got the SVID, in milliseconds since the epoch. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  /** When it was renewed because of a tainted authority. */
  #taintedAt = Number.NEGATIVE_INFINITY;
  #lastReport: Report | undefined;
  #pause: (() => void) | undefined;
  #end: SidekeyError | undefined;
  #isClosed = false;
  /** The first round: resolved when it has ended, rejected when the agent can't go on. */
  #isStarted = false;
  /** It has an SVID from before. */
  readonly #wasMember: boolean;
  readonly #started = Promise.withResolvers<void>();

  /** @throws ERR_DATA_DIR */
  constructor({ attestation, ...options }: UplinkOptions) {
    const { servers, clock, log, dataDir, trustDomain, trust } = options;
    this.#options = options;
    this.#membership = new Membership({ attestation, clock, log, dataDir, trustDomain, trust });
    this.#wasMember = this.#membership.svid !== undefined;
    this.#requests = new SvidRequests({ connected: (ms, except) => this.#connected(ms, except), clock });
    this.#entries = new EntryReader(trustDomain, log);
    this.#listeners = new Listeners((err) => log.error({ err }, 'a listener of the connection threw an error'));
    this.#lines = new Rarely(clock, LOG_MS);
    this.#next = Math.floor(Math.random() * servers.length);
    this.#status = {
      ...{ state: 'away', since: clock.now(), server: undefined, kind: undefined, serverVersion: undefined },
      ...{ problem: undefined, x509SvidTtl: undefined, jwtSvidTtl: undefined },
      ...this.#own(),
    };
  }

  /** See `open.ts`. */
  async start(signal?: AbortSignal): Promise<void> {
    const stop = () => void this.close();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    try {
      this.#connectSoon();
      await this.#started.promise;
      this.#scheduleRenewal();
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  get status(): UplinkStatus {
    return this.#status;
  }

  onStatus(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  newSvids(requests: Parameters<Uplink['newSvids']>[0]): Promise<NewSvid[]> {
    return this.#requests.newSvids(requests);
  }

  newJwtSvid(entryId: string, audiences: readonly string[]): Promise<NewJwtSvid> {
    return this.#requests.newJwtSvid(entryId, audiences);
  }

  report(report: Report): void {
    this.#lastReport = report;
    this.#session?.feed.report(report);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#renewal?.cancel();
    this.#pause?.();
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) closeSession(session);
    for (const wake of [...this.#waiting]) wake();
    this.#started.reject(this.#end ?? new SidekeyError('ERR_ATTACH', 'the agent is stopping'));
    await this.#connecting;
    this.#listeners.clear();
  }

  /** The first round is over. */
  #begin(): void {
    this.#isStarted = true;
    this.#started.resolve();
  }

  #own(): Pick<UplinkStatus, 'agentId' | 'svidEnds' | 'joinedInsecurely'> {
    const { svid, joinedInsecurely } = this.#membership;
    return { agentId: svid?.id, svidEnds: svid?.notAfter, joinedInsecurely };
  }

  #tell(change: Partial<UplinkStatus>): void {
    const { state, since } = this.#status;
    const isMove = change.state !== undefined && change.state !== state;
    this.#status = { ...this.#status, ...this.#own(), ...change, since: isMove ? this.#options.clock.now() : since };
    this.#listeners.tell();
  }

  /** The agent can't go on. */
  #fatal(error: SidekeyError): void {
    if (this.#isClosed) return;
    this.#end = error;
    this.#tell({ state: 'away', problem: error.message });
    if (this.#isStarted) this.#options.fatal(error);
    void this.close();
  }

  // ---- connections ----

  #connectSoon(): void {
    if (this.#isClosed) return;
    if (this.#connecting !== undefined) {
      this.#isAgain = true;
      return;
    }
    this.#connecting = this.#connect()
      .catch((error: unknown) => {
        this.#fatal(SidekeyError.from(error, 'ERR_INTERNAL', `the connection to the server failed: ${String(error)}`));
      })
      .finally(() => {
        this.#connecting = undefined;
        if (this.#isAgain) {
          this.#isAgain = false;
          this.#connectSoon();
        }
      });
  }

  /** Tries servers until one serves. @throws SidekeyError if the agent can't go on */
  async #connect(): Promise<void> {
    const { servers } = this.#options;
    if (this.#failures > 0) await this.#rest();
    let failed: Failure[] = [];
    while (!this.#isClosed && this.#end === undefined) {
      const server = servers[this.#next % servers.length]!;
      try {
        await this.#try(server);
        return;
      } catch (error) {
        if (this.#isClosed) return;
        if (!(error instanceof Failure)) throw error;
        this.#note(error);
        this.#decide(error);
        failed.push(error);
        this.#next = (this.#next + 1) % servers.length;
      }
      if (failed.length < servers.length) continue;
      this.#endRound(failed);
      await this.#explain(failed, server);
      if (this.#wasMember) this.#begin();
      failed = [];
      this.#failures += 1;
      await this.#rest();
    }
  }

  async #try(server: ServerAddress): Promise<void> {
    const { clock, trustDomain, servers, host } = this.#options;
    const membership = this.#membership;
    const hasEnded = membership.svid !== undefined && membership.svid.notAfter <= clock.now();
    if (membership.svid === undefined || ((this.#mustAttest || hasEnded) && membership.canAttest)) {
      await this.#attest(server);
    }
    const svid = membership.svid!;
    const { certificateChain, privateKey } = svid;
    const session = await openSession({
      ...{ host, kind: this.#status.kind, connectMs: servers.length > 1 ? CONNECT_MS : CONNECT_ONE_MS },
      connection: {
        ...{ server, trustDomain, roots: membership.roots!, identity: { certificateChain, privateKey } },
        now: () => clock.now(),
      },
      feed: this.#feedParts(),
    });
    if (this.#isClosed) closeSession(session);
    else this.#use(session, svid);
  }

  #feedParts(): FeedParts {
    const { trustDomain, mirror, answer, syncInterval, clock, log } = this.#options;
    return {
      ...{ trustDomain, mirror, answer, syncInterval, clock, log, entries: this.#entries, foreign: this.#foreign },
      onBundle: (bundle) => this.#membership.noteBundle(bundle),
      onTainted: (ids) => this.#tainted(ids),
    };
  }

  #use(session: Session, svid: OwnSvid): void {
    const { clock, log } = this.#options;
    const former = this.#session;
    this.#session = session;
    this.#sessionSince = clock.now();
    this.#mustAttest = false;
    if (former !== undefined) leaveSession(former);
    const { connection, feed } = session;
    const { server } = connection;
    const { version: serverVersion, x509SvidTtl, jwtSvidTtl } = feed.greeting ?? NO_GREETING;
    const isNews = this.#status.state === 'away';
    this.#tell({
      ...{ state: 'connected', server, kind: feed.kind, serverVersion, problem: undefined },
      ...{ x509SvidTtl, jwtSvidTtl },
    });
    log[isNews ? 'info' : 'debug']({ server, kind: feed.kind, agent: svid.id }, 'connected to the server');
    if (this.#lastReport !== undefined) feed.report(this.#lastReport);
    void feed.ended.then((error) => this.#lost(session, svid, error));
    for (const wake of [...this.#waiting]) wake();
    this.#begin();
    this.#postStatus(session);
    if (this.#membership.svid !== svid) this.#connectSoon();
    else if (this.#isDue) void this.#renew();
  }

  /** Once a process. */
  #postStatus(session: Session): void {
    if (this.#isTold) return;
    this.#isTold = true;
    postStatus(session).catch((error: unknown) => {
      // A server without this method has no use for it.
      if (!(error instanceof Failure && error.code === grpcStatus.UNIMPLEMENTED)) this.#isTold = false;
    });
  }

  #lost(session: Session, svid: OwnSvid, error: Error | undefined): void {
    if (this.#session !== session || this.#isClosed) return;
    const { clock, log } = this.#options;
    this.#session = undefined;
    leaveSession(session);
    // A server denies the former SVID once it has made, or seen, the new one. What made that also connects with it.
    const isFormer = error instanceof Failure && error.reason === Reason.AGENT_NOT_ACTIVE && this.#isRenewing;
    if (isFormer || this.#membership.svid !== svid) return;
    const isShort = clock.now() - this.#sessionSince < SHORT_MS;
    this.#failures = isShort ? this.#failures + 1 : 0;
    log.debug({ err: error, server: session.connection.server }, 'the connection to the server ended');
    if (error instanceof Failure) {
      if (error.kind === 'protocol')
        log.error({ err: error }, 'what the server sent is refused: the former state stays');
      try {
        this.#note(error);
        this.#decide(error);
      } catch (fatal) {
        this.#fatal(fatal as SidekeyError);
        return;
      }
    } else if (error !== undefined) log.error({ err: error }, 'the state of the server could not be taken over');
    this.#connectSoon();
  }

  /** Shows the failure, but not while another connection serves. */
  #note(failure: Failure): void {
    if (this.#session === undefined) this.#tell({ state: 'away', problem: failure.message });
  }

  /** A round over all servers has failed. */
  #endRound(failed: readonly Failure[]): void {
    const { log } = this.#options;
    const problems = failed.map(({ message }) => message);
    if (this.#session === undefined && this.#lines.mayTell() !== undefined) {
      log.warn({ problems }, 'no server can be reached: the agent serves what it has, and tries again');
    }
    // Nobody will become the right server by waiting.
    const isHopeless = failed.every(({ kind }) => kind === 'untrusted' || kind === 'identity');
    if (this.#membership.svid === undefined && isHopeless) {
      throw new SidekeyError('ERR_ATTACH', problems.join('; '), { cause: failed[0] });
    }
  }

  /** What a denial means. @throws ERR_ATTACH if the agent can't go on */
  #decide({ kind, reason, message }: Failure): void {
    if (kind !== 'denied' || reason === undefined) return;
    if (reason === Reason.AGENT_BANNED) {
      throw new SidekeyError(
        'ERR_ATTACH',
        `${message}. Whoever banned it can let it join again: sidekey agent evict ID`,
      );
    }
    this.#mustAttest = true;
    if (!this.#membership.canAttest) throw needsToken(message);
  }

  /**
   * With an SVID that has ended, or that a server refuses in the handshake, a connection just ends. A server that answers
   * without it shows that the SVID is the reason. @throws ERR_ATTACH if the agent can't go on
   */
  async #explain(failed: readonly Failure[], server: ServerAddress): Promise<void> {
    const { clock } = this.#options;
    const { svid, canAttest } = this.#membership;
    if (svid === undefined || this.#session !== undefined || failed.every(({ kind }) => kind !== 'unreachable')) return;
    if (!(await this.#answers(server))) return;
    const now = clock.now();
    if (svid.notAfter <= now && !canAttest) {
      throw needsToken(`the SVID of this agent has ended: it ${clocks(svid, now)}`);
    }
    this.#mustAttest = canAttest;
    this.#tell({
      problem: `${nameOf(server)} answers, but ends connections with this agent's SVID, which ${clocks(svid, now)}. If they agree, the server may have lost its data directory`,
    });
  }

  /** Whether the server answers what anybody may ask. */
  async #answers(server: ServerAddress): Promise<boolean> {
    const { trustDomain, clock } = this.#options;
    const { roots } = this.#membership;
    const connection = new Connection({ server, trustDomain, roots: roots!, pings: false, now: () => clock.now() });
    try {
      await connection.ask(API.bundle, GetBundleRequest, Bundle, { outputMask: undefined }, PROBE_MS);
      return true;
    } catch {
      return false;
    } finally {
      connection.close();
    }
  }

  #rest(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const delay = backoffApart(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    const next = this.#options.clock.after(delay, resolve);
    this.#pause = () => {
      next.cancel();
      resolve();
    };
    return this.#isClosed ? Promise.resolve() : promise;
  }

  /** @throws ERR_CA after that time */
  async #connected(ms: number, except?: Connection): Promise<Connection> {
    const end = performance.now() + ms;
    for (;;) {
      const { connection } = this.#session ?? {};
      if (connection !== undefined && connection !== except) return connection;
      const left = end - performance.now();
      if (left <= 0 || this.#isClosed) {
        const { problem = 'it is being connected' } = this.#status;
        throw new SidekeyError('ERR_CA', this.#isClosed ? 'the agent is stopping' : `the server is away: ${problem}`);
      }
      await this.#nextConnection(left);
    }
  }

  #nextConnection(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => {
      late.cancel();
      this.#waiting.delete(wake);
      resolve();
    };
    const late = this.#options.clock.after(ms, wake);
    this.#waiting.add(wake);
    return promise;
  }

  // ---- the own SVID ----

  async #attest(server: ServerAddress): Promise<void> {
    const { log } = this.#options;
    const former = this.#membership.svid;
    try {
      await this.#membership.attest(server);
    } catch (error) {
      throw this.#refusal(error, former);
    }
    const svid = this.#membership.svid!;
    this.#mustAttest = false;
    this.#renewedAt = this.#options.clock.now();
    this.#tell({});
    log.info({ server: nameOf(server), agent: svid.id, svid_ends: new Date(svid.notAfter) }, 'the agent is attested');
    this.#scheduleRenewal();
  }

  /** Why an attestation failed: an error ends the agent, a failure is tried again. */
  #refusal(error: unknown, former: OwnSvid | undefined): unknown {
    if (!(error instanceof Failure)) return error;
    const { kind, code, reason, message } = error;
    const isBanned = reason === Reason.AGENT_BANNED;
    const isRefused = kind === 'denied' || code === grpcStatus.INVALID_ARGUMENT;
    if (!isRefused || isBanned) return error;
    // One that served may be refused for a while, such as by a server whose file of authorities is being changed.
    if (former?.reattestable === true) return new Failure('refused', message, { cause: error });
    const before =
      former === undefined ? '' : `the SVID that this agent had (${former.id}) is not accepted any more, and `;
    if (this.#membership.attestsBy === 'x509pop')
      return new SidekeyError('ERR_ATTACH', `${before}${message}`, { cause: error });
    return needsToken(`${before}${message}`, error);
  }

  #scheduleRenewal(): void {
    const { clock } = this.#options;
    const { svid } = this.#membership;
    if (svid === undefined || this.#isClosed) return;
    const half = (svid.notAfter - svid.notBefore) / 2;
    const due = svid.notBefore + half * (1 + JITTER * (2 * Math.random() - 1));
    this.#renewal?.cancel();
    // If the clocks are apart, a new SVID may seem to be due at once.
    this.#renewal = clock.at(Math.max(due, this.#renewedAt + half / 4), () => void this.#renew());
  }

  #tainted(ids: readonly string[]): void {
    const { clock } = this.#options;
    const { svid } = this.#membership;
    if (svid === undefined || !svid.authorityIds.some((id) => ids.includes(id))) return;
    const wait = this.#taintedAt + TAINTED_MS - clock.now();
    if (wait <= 0 || wait > TAINTED_MS) {
      this.#taintedAt = clock.now();
      void this.#renew();
      return;
    }
    // The server has signed with a tainted authority.
    this.#renewal?.cancel();
    this.#renewal = clock.after(wait, () => {
      this.#taintedAt = clock.now();
      void this.#renew();
    });
  }

  /** Gets the next SVID, and a connection with it. */
  async #renew(): Promise<void> {
    const session = this.#session;
    this.#isDue = true;
    // Without a connection it is done when there is one.
    if (this.#isRenewing || session === undefined || this.#isClosed) return;
    this.#isRenewing = true;
    try {
      await this.#renewNow(session);
      this.#isDue = false;
      this.#renewFailures = 0;
      this.#renewedAt = this.#options.clock.now();
      this.#tell({});
      this.#scheduleRenewal();
      this.#connectSoon();
    } catch (error) {
      this.#renewFailed(error);
      if (this.#session === undefined && this.#connecting === undefined) this.#connectSoon();
    } finally {
      this.#isRenewing = false;
    }
  }

  async #renewNow(session: Session): Promise<void> {
    const { log, servers } = this.#options;
    const { svid, canAttest } = this.#membership;
    if (svid?.reattestable === true && canAttest) {
      await this.#membership.attest(servers.find((one) => nameOf(one) === session.connection.server)!);
    } else await this.#membership.renew(session.connection);
    log.info({ agent: svid?.id, svid_ends: new Date(this.#membership.svid!.notAfter) }, 'the agent renewed its SVID');
  }

  #renewFailed(error: unknown): void {
    const { clock, log } = this.#options;
    if (this.#isClosed) return;
    this.#renewFailures += 1;
    const delay = backoffApart(this.#renewFailures, RENEW_FIRST_MS, RENEW_LIMIT_MS);
    this.#renewal?.cancel();
    this.#renewal = clock.after(delay, () => void this.#renew());
    if (error instanceof Failure) {
      try {
        this.#decide(error);
      } catch (fatal) {
        this.#fatal(fatal as SidekeyError);
        return;
      }
      // A connection that has ended is no news here.
      if (this.#mustAttest) this.#connectSoon();
    }
    if (this.#session === undefined) return;
    log.warn({ err: error, retry_ms: delay }, 'the SVID of the agent could not be renewed');
    this.#tell({ problem: `the agent's SVID could not be renewed: ${(error as Error).message}` });
  }
}

const NO_GREETING = { version: undefined, x509SvidTtl: undefined, jwtSvidTtl: undefined };

function needsToken(problem: string, cause?: unknown): SidekeyError {
  const remedy = 'start the agent with a new token (--join-token-file), which sidekey agent token makes on the server';
  return new SidekeyError('ERR_ATTACH', `${problem}. To join again: ${remedy}`, { cause });
}
