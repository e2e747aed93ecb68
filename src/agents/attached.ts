/**
 * An attached agent of Sidekey: what it was told, and what is out of date. A change only marks; messages are made one by one,
 * each when the connection has taken the one before. So an agent that reads slowly costs no memory.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, version } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import {
  AgentMessage,
  type Alias,
  type Bundle as BundleMessage,
  type Report,
  ServerMessage,
} from '../gen/sidekey/agent.ts';
import { type Entry, entryToJson, isExpired, isFederated, type Registry } from '../registry/index.ts';
import type { TrustBundle } from '../spiffe/index.ts';
import { decodeRequest, Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { AuthorizedEntries, View } from './authorized.ts';
import type { AgentPeer, PeerSvid } from './peer.ts';

export interface AttachedParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'bundle' | 'authorities'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  readonly clock: Clock;
  /** TTLs of entries without one, in seconds. */
  readonly x509SvidTtl: number;
  readonly jwtSvidTtl: number;
  /** Called when it has greeted; it may refuse by an error. */
  readonly onGreeting: (attached: Attached) => void;
  readonly onReport: (attached: Attached) => void;
  readonly onClosed: (attached: Attached) => void;
}

/** Of the entries in one message, in bytes of JSON; an entry may be larger. */
const PAGE_BYTES = 512 * 1024;
/** Of what an agent says of itself, in characters of printable ASCII. */
const SAID = /^[!-~ ]{0,255}$/;
/** Reports between two of these are not looked at, but for the last one. */
const REPORT_EACH_MS = 25;
/** Of the lists of a report. */
const MOST_LISTED = 100;
/** Questions that the agent has not answered. */
const MOST_ASKED = 16;
const ANSWER_MS = 5_000;
const MOST_ANSWER_BYTES = 4 * 1024 * 1024;

/** What the agent answered. */
export interface AgentAnswer {
  /** Of HTTP. */
  readonly status: number;
  /** JSON, as the agent wrote it. */
  readonly body: Uint8Array;
}

interface Asked {
  readonly resolve: (answer: AgentAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class Attached implements StreamHandler {
  readonly peer: AgentPeer;
  readonly #stream: Stream<AgentPeer>;
  readonly #parts: AttachedParts;
  #svid: PeerSvid | undefined;
  #view: View | undefined;
  #stopWatching: () => void = () => undefined;
  /** As it greeted. */
  host = '';
  version = '';
  readonly since: number;
  /** Undefined: it has sent none. */
  report: Report | undefined;
  reportedAt = 0;
  /** Since when all its streams have acknowledged the bundle that they have. */
  acknowledgedAt = 0;
  #isReporting = false;
  #latest: Report | undefined;
  /** What it was told last. */
  #entries: ReadonlyMap<string, Entry> | undefined;
  #own: TrustBundle | undefined;
  readonly #foreign = new Map<string, TrustBundle>();
  #authorities = '';
  #aliases = '';
  #revoked = '';
  #revision = 0n;
  #mustReplace = false;
  /** Something may be out of date. */
  #isStale = false;
  #isSending = false;
  #isOver = false;
  readonly #asked = new Map<bigint, Asked>();
  #lastAsked = 0n;

  constructor(stream: Stream<AgentPeer>, parts: AttachedParts) {
    this.#stream = stream;
    this.peer = stream.peer;
    this.#parts = parts;
    this.since = parts.clock.now();
  }

  /** The agent's SPIFFE ID. */
  get id(): string {
    return this.#svid?.id ?? '';
  }

  /** The entries that it serves. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#view?.all ?? new Map();
  }

  /** Number of the last change of the revocations that it was told. */
  get revision(): bigint {
    return this.#revision;
  }

  message(bytes: Uint8Array): void {
    const { greeting, report, answer } = decodeRequest(AgentMessage, 'AgentMessage', bytes);
    if (this.#svid === undefined) {
      if (greeting === undefined) throw new StatusError(Status.INVALID_ARGUMENT, 'the first message is a greeting');
      if (this.version !== '') return;
      if (!SAID.test(greeting.version) || !SAID.test(greeting.host)) {
        throw new StatusError(Status.INVALID_ARGUMENT, 'version and host have at most 255 printable ASCII characters');
      }
      this.version = greeting.version || 'unknown';
      this.host = greeting.host;
      this.#begin().catch((error: unknown) => this.#fail(error));
    } else if (report !== undefined) this.#reported(report);
    else if (answer !== undefined) {
      const asked = this.#asked.get(answer.id);
      this.#asked.delete(answer.id);
      if (answer.body.length <= MOST_ANSWER_BYTES) asked?.resolve({ status: answer.status, body: answer.body });
      else asked?.reject(new Error('its answer is too long'));
    }
  }

  halfClose(): void {
    this.end(new StatusError(Status.OK, ''));
  }

  closed(): void {
    this.#isOver = true;
    this.#stopWatching();
    this.#view?.release();
    for (const { reject } of this.#asked.values()) reject(new Error('it has gone'));
    this.#asked.clear();
    if (this.#svid !== undefined) this.#parts.onClosed(this);
  }

  end({ status, message, details }: StatusError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.end(status, message, details);
  }

  /** Ends the stream if the agent may not be served any more. */
  check(): void {
    if (this.#isOver || this.#svid === undefined) return;
    const why = this.#parts.access.whyNot(this.#svid);
    if (why !== undefined) this.end(this.#parts.access.deny(this.peer, why));
  }

  /** Tells the agent soon what has changed. */
  stale(): void {
    this.#isStale = true;
    this.#sendSoon();
  }

  /** Tells it that all SVIDs must be replaced. */
  replaced(): void {
    this.#mustReplace = true;
    this.stale();
  }

  /** Asks a GET of the agent's admin API. @throws Error with what is wrong with the agent */
  async ask(path: string): Promise<AgentAnswer> {
    if (this.#isOver || this.#entries === undefined) throw new Error('it has just attached, or has gone');
    if (this.#asked.size >= MOST_ASKED) throw new Error(`${MOST_ASKED} questions to it are not answered yet`);
    this.#lastAsked += 1n;
    const id = this.#lastAsked;
    const { promise, resolve, reject } = Promise.withResolvers<AgentAnswer>();
    this.#asked.set(id, { resolve, reject });
    this.#stream.send(encode({ question: { id, path } }));
    const late = this.#parts.clock.after(ANSWER_MS, () => {
      this.#asked.delete(id);
      reject(new Error(`it has not answered within ${ANSWER_MS / 1000} s`));
    });
    return promise.finally(() => late.cancel());
  }

  async #begin(): Promise<void> {
    const { access, authorized, onGreeting, x509SvidTtl, jwtSvidTtl } = this.#parts;
    const { agent, svid } = await access.require(this.#stream);
    if (this.#isOver) return;
    this.#svid = svid;
    this.#view = authorized.view(agent.id);
    this.#stopWatching = this.#view.watch(() => this.stale());
    onGreeting(this);
    this.#stream.send(encode({ greeting: { version: version(), x509SvidTtl, jwtSvidTtl } }));
    this.stale();
  }

  #fail(error: unknown): void {
    if (error instanceof StatusError) this.end(error);
    else
      this.end(
        new StatusError(Status.UNAVAILABLE, 'the agent cannot attach now; the log of the server has the reason'),
      );
  }

  #reported(report: Report): void {
    this.#latest = bounded(report);
    if (this.#isReporting) return;
    this.#isReporting = true;
    this.#takeReport();
    this.#parts.clock.after(REPORT_EACH_MS, () => {
      this.#isReporting = false;
      if (this.#latest !== undefined && !this.#isOver) this.#reported(this.#latest);
    });
  }

  #takeReport(): void {
    const report = this.#latest;
    this.#latest = undefined;
    if (report === undefined) return;
    const now = this.#parts.clock.now();
    const before = this.report;
    if (before === undefined || before.acknowledged !== report.acknowledged || before.waiting > 0) {
      this.acknowledgedAt = now;
    }
    this.report = report;
    this.reportedAt = now;
    this.#parts.onReport(this);
  }

  #sendSoon(): void {
    if (this.#isSending || this.#isOver) return;
    this.#isSending = true;
    this.#sendAll()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#isSending = false;
      });
  }

  async #sendAll(): Promise<void> {
    while (this.#isStale && !this.#isOver) {
      // Changes of one turn are told together.
      await nextTurn();
      this.#isStale = false;
      for (const message of this.#changes()) {
        if (this.#isOver) return;
        await this.#taken(encode(message));
      }
    }
  }

  /** Sends a message, and waits until the connection has taken it. */
  #taken(message: Uint8Array): Promise<void> {
    this.#stream.hold(message.length);
    return new Promise((resolve) => {
      this.#stream.send(message, () => {
        this.#stream.release(message.length);
        resolve();
      });
    });
  }

  /** What the agent was not told yet. Bundles come first: they verify the SVIDs of the entries. */
  *#changes(): Iterable<Partial<ServerMessage>> {
    const { ca } = this.#parts;
    const own = ca.bundle();
    if (own !== this.#own && own.x509Authorities.length > 0) {
      this.#own = own;
      yield { bundle: bundleMessage(own) };
    }
    yield* this.#foreignChanges();
    yield* this.#authorityChanges();
    if (this.#mustReplace) {
      this.#mustReplace = false;
      yield { replaced: {} };
    }
    yield* this.#aliasChanges();
    yield* this.#revocationChanges();
    yield* this.#entryChanges();
  }

  *#foreignChanges(): Iterable<Partial<ServerMessage>> {
    const entries = [...this.entries.values()];
    const wanted = new Map<string, TrustBundle>();
    for (const bundle of this.#parts.registry.federatedBundles.list()) {
      if (entries.some((entry) => isFederated(entry, bundle.trustDomain))) wanted.set(bundle.trustDomain, bundle);
    }
    for (const trustDomain of [...this.#foreign.keys()]) {
      if (wanted.has(trustDomain)) continue;
      this.#foreign.delete(trustDomain);
      yield { bundle: { ...NO_BUNDLE, trustDomain, gone: true } };
    }
    for (const [trustDomain, bundle] of wanted) {
      if (this.#foreign.get(trustDomain) === bundle) continue;
      this.#foreign.set(trustDomain, bundle);
      yield { bundle: bundleMessage(bundle) };
    }
  }

  *#authorityChanges(): Iterable<Partial<ServerMessage>> {
    const all = this.#parts.ca.authorities();
    const signing = all.find(({ role, state }) => role === 'intermediate' && state === 'active')?.id ?? '';
    const tainted = all.filter(({ role, state }) => role !== 'jwt' && state === 'tainted').map(({ id }) => id);
    const told = [signing, ...tainted].join();
    if (told === this.#authorities) return;
    this.#authorities = told;
    yield { authorities: { signing, tainted } };
  }

  /** Aliases of SPIFFE IDs that the agent's entries give. */
  *#aliasChanges(): Iterable<Partial<ServerMessage>> {
    const { registry } = this.#parts;
    const given = new Set([...this.entries.values()].map(({ spiffeId }) => spiffeId as string));
    const aliases: Alias[] = registry.aliases
      .list()
      .filter(({ spiffeId }) => {
        return given.has(spiffeId) || registry.couldRender(spiffeId).some(({ id }) => this.entries.has(id));
      })
      .map(({ host, spiffeId }) => ({ host, spiffeId }));
    const told = JSON.stringify(aliases);
    if (told === this.#aliases) return;
    this.#aliases = told;
    yield { aliases: { aliases } };
  }

  *#revocationChanges(): Iterable<Partial<ServerMessage>> {
    const all = this.#parts.registry.revocations.all();
    const serials = all.filter(({ entryId }) => this.entries.has(entryId)).map(({ serial }) => serial);
    const told = `${serials.join()};`;
    if (told === this.#revoked) return;
    this.#revoked = told;
    this.#revision += 1n;
    yield { revocations: { serials, revision: this.#revision } };
  }

  *#entryChanges(): Iterable<Partial<ServerMessage>> {
    const before = this.#entries;
    const now = this.#parts.clock.now();
    const present = new Map([...this.entries].filter(([, entry]) => !isExpired(entry, now)));
    const put = [...present.values()].filter((entry) => before?.get(entry.id) !== entry);
    const gone = [...(before?.keys() ?? [])].filter((id) => !present.has(id));
    this.#entries = present;
    if (before !== undefined && put.length === 0 && gone.length === 0) return;
    let whole = before === undefined;
    let page: Buffer[] = [];
    let bytes = 0;
    for (const entry of put) {
      const json = Buffer.from(JSON.stringify(entryToJson(entry)));
      if (bytes > 0 && bytes + json.length > PAGE_BYTES) {
        yield { entries: { put: page, gone: [], whole, more: true } };
        [page, bytes, whole] = [[], 0, false];
      }
      page.push(json);
      bytes += json.length;
    }
    yield { entries: { put: page, gone, whole, more: false } };
  }
}

const NO_MESSAGE: ServerMessage = {
  ...{ greeting: undefined, entries: undefined, bundle: undefined, authorities: undefined },
  ...{ aliases: undefined, revocations: undefined, question: undefined, replaced: undefined },
};

function encode(message: Partial<ServerMessage>): Uint8Array {
  return ServerMessage.encode({ ...NO_MESSAGE, ...message }).finish();
}

const NO_BUNDLE: BundleMessage = {
  ...{ trustDomain: '', x509Authorities: [], jwtAuthorities: [], crls: [], epoch: Buffer.alloc(0) },
  ...{ sequenceNumber: 0n, documentNumber: 0n, refreshHint: 0, gone: false },
};

function bundleMessage(bundle: TrustBundle): BundleMessage {
  return {
    trustDomain: bundle.trustDomain,
    x509Authorities: [...bundle.x509Authorities],
    jwtAuthorities: bundle.jwtAuthorities.map(({ keyId, publicKey }) => {
      return { keyId, publicKey: Buffer.from(JSON.stringify(publicKey)) };
    }),
    crls: [...bundle.crls],
    epoch: bundle.epoch ?? Buffer.alloc(0),
    sequenceNumber: BigInt(bundle.sequenceNumber),
    documentNumber: BigInt(bundle.documentNumber),
    refreshHint: bundle.refreshHint ?? 0,
    gone: false,
  };
}

/** What is kept of a report is bounded; an agent of Sidekey sends no more. */
function bounded(report: Report): Report {
  return {
    ...report,
    lagging: report.lagging.slice(0, MOST_LISTED).map((one) => {
      const { pid, uid, node, name, rejection } = one;
      return { pid, uid, node: cut(node), name: cut(name), rejection: cut(rejection) };
    }),
    authoritiesInUse: report.authoritiesInUse.slice(0, MOST_LISTED).map(cut),
    revokedInUse: report.revokedInUse.slice(0, MOST_LISTED).map(cut),
  };
}

const SHOWN = 512;

function cut(text: string): string {
  return text.slice(0, SHOWN);
}
