/**
 * The state of a SPIRE server, asked for again and again: entries, the own bundle, and the bundles that the entries need.
 * A server that holds the answer to a sync until something changes is asked without a pause after each change.
 */

import { status } from '@grpc/grpc-js';
import { GetBundleRequest, GetFederatedBundleRequest } from '../gen/spire/api/server/bundle.ts';
import { SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse } from '../gen/spire/api/server/entry.ts';
import { Bundle, type EntryMask, type Entry as SpireEntry } from '../gen/spire/api/types.ts';
import type { Entry } from '../registry/index.ts';
import { EVERY_DOMAIN, type TrustDomain } from '../spiffe/index.ts';
import { bundleOf } from './bundles.ts';
import type { Connection, Conversation } from './connection.ts';
import { Failure } from './failure.ts';
import type { Feed, FeedParts } from './feed.ts';
import { CALL_MS, MAX_BUNDLES, MAX_ENTRIES, SYNC_MS } from './limits.ts';
import { API } from './paths.ts';

/** Ids in one request, and bundles at once; as SPIRE's agents. */
const PAGE = 500;
const BUNDLES_AT_ONCE = 10;
/** An answer that takes longer was held, in milliseconds. */
const HELD_MS = 1_000;
/** Maximum number of answers to one request. */
const MOST_PAGES = 2 * MAX_ENTRIES;

const MASK: EntryMask = {
  ...{ spiffeId: true, parentId: true, selectors: true, x509SvidTtl: true, federatesWith: true, admin: false },
  ...{ downstream: false, expiresAt: true, dnsNames: true, revisionNumber: true, storeSvid: true, jwtSvidTtl: true },
  ...{ hint: true, createdAt: true },
};

/** An entry as the server has it; `entry` is undefined if it is left out. */
interface Known {
  readonly version: string;
  readonly entry: Entry | undefined;
}

type Sync = Conversation<SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse>;

export class PollFeed implements Feed {
  readonly kind = 'spire';
  readonly greeting = undefined;
  readonly ready: Promise<void>;
  readonly ended: Promise<Error | undefined>;
  readonly #connection: Connection;
  readonly #parts: FeedParts;
  readonly #first = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  #known: ReadonlyMap<string, Known> = new Map();
  #isFirst = true;
  /** The last bundles, as they came, by trust domain. */
  readonly #bundles = new Map<string, string>();
  #tainted = '';

  constructor(connection: Connection, parts: FeedParts) {
    this.#connection = connection;
    this.#parts = parts;
    this.ready = this.#first.promise;
    this.ready.catch(() => undefined);
    this.ended = this.#run();
  }

  report(): void {
    // A SPIRE server has no use for it.
  }

  stop(): void {
    this.#stop.abort();
    this.#first.reject(new Failure('unreachable', 'the agent is stopping'));
  }

  async #run(): Promise<Error | undefined> {
    try {
      while (!this.#stop.signal.aborted) {
        await this.#poll();
        this.#first.resolve();
        await this.#pause();
      }
      return undefined;
    } catch (error) {
      this.#first.reject(error);
      return this.#stop.signal.aborted ? undefined : (error as Error);
    }
  }

  async #poll(): Promise<void> {
    const { trustDomain, mirror } = this.#parts;
    const ask = () => this.#ask(API.bundle, GetBundleRequest, { outputMask: undefined });
    let own = await ask();
    const begin = performance.now();
    const known = await this.#sync();
    // A change of the bundle may have ended the wait.
    if (performance.now() - begin > HELD_MS) own = await ask();
    const foreign = await this.#foreignBundles(known);
    if (this.#stop.signal.aborted) return;
    this.#applyOwn(own, trustDomain);
    for (const [name, bundle] of foreign) {
      if (bundle === undefined) this.#forget(name);
      else if (this.#isNew(bundle)) {
        const read = bundleOf(bundle, name).bundle;
        this.#parts.foreign.add(name);
        mirror.bundle(read);
      }
    }
    for (const name of this.#parts.foreign) if (!foreign.has(name)) this.#forget(name);
    this.#applyEntries(known);
  }

  #applyOwn(message: Bundle, trustDomain: TrustDomain): void {
    const { mirror, onBundle, onTainted } = this.#parts;
    if (!this.#isNew(message)) return;
    const { bundle, tainted } = bundleOf(message, trustDomain);
    if (bundle.x509Authorities.length === 0) throw Failure.protocol('the own bundle has no root');
    onBundle(bundle);
    mirror.bundle(bundle);
    if (this.#tainted === tainted.join()) return;
    this.#tainted = tainted.join();
    mirror.authorities({ signing: undefined, tainted });
    onTainted(tainted);
  }

  #forget(trustDomain: TrustDomain): void {
    this.#bundles.delete(trustDomain);
    if (this.#parts.foreign.delete(trustDomain)) this.#parts.mirror.bundleGone(trustDomain);
  }

  /** Notes the bundle. @returns whether it is another than the last one of its trust domain */
  #isNew(message: Bundle): boolean {
    const bytes = Buffer.from(Bundle.encode(message).finish()).toString('latin1');
    if (this.#bundles.get(message.trustDomain) === bytes) return false;
    this.#bundles.set(message.trustDomain, bytes);
    return true;
  }

  #applyEntries(known: ReadonlyMap<string, Known>): void {
    const { mirror } = this.#parts;
    const former = this.#known;
    this.#known = known;
    const put: Entry[] = [];
    const gone: string[] = [];
    for (const [id, { version, entry }] of known) {
      const before = former.get(id);
      if (before?.version === version) continue;
      if (entry !== undefined) put.push(entry);
      else if (before?.entry !== undefined) gone.push(id);
    }
    for (const id of former.keys()) if (!known.has(id)) gone.push(id);
    if (this.#isFirst || put.length > 0 || gone.length > 0) mirror.entries({ whole: this.#isFirst, put, gone });
    this.#isFirst = false;
  }

  /** All entries of the agent. Of those that it has already only the revisions are asked for, if there are many. */
  async #sync(): Promise<ReadonlyMap<string, Known>> {
    const call: Sync = this.#connection.converse(
      API.sync,
      SyncAuthorizedEntriesRequest,
      SyncAuthorizedEntriesResponse,
      SYNC_MS,
    );
    const stop = () => call.cancel();
    this.#stop.signal.addEventListener('abort', stop);
    try {
      call.send({ outputMask: MASK, ids: [] });
      const { entries, entryRevisions } = await pages(call);
      if (entryRevisions.length === 0) return new Map(entries.map((one) => this.#read(one)));
      return await this.#missing(call, entryRevisions);
    } finally {
      this.#stop.signal.removeEventListener('abort', stop);
      call.cancel();
    }
  }

  async #missing(
    call: Sync,
    revisions: SyncAuthorizedEntriesResponse['entryRevisions'],
  ): Promise<ReadonlyMap<string, Known>> {
    const known = new Map<string, Known>();
    const missing: string[] = [];
    for (const { id, revisionNumber, createdAt } of revisions) {
      const present = this.#known.get(id);
      if (present?.version === versionOf(revisionNumber, createdAt)) known.set(id, present);
      else missing.push(id);
    }
    for (let from = 0; from < missing.length; from += PAGE) {
      const ids = missing.slice(from, from + PAGE);
      call.send({ outputMask: undefined, ids });
      const { entries } = await pages(call);
      const asked = new Set(ids);
      for (const one of entries) if (asked.has(one.id)) known.set(...this.#read(one));
    }
    return known;
  }

  #read(message: SpireEntry): [id: string, known: Known] {
    const { id, revisionNumber, createdAt } = message;
    return [id, { version: versionOf(revisionNumber, createdAt), entry: this.#parts.entries.ofSpire(message) }];
  }

  /** Undefined: the server has no bundle of this trust domain. */
  async #foreignBundles(known: ReadonlyMap<string, Known>): Promise<Map<TrustDomain, Bundle | undefined>> {
    const names = new Set<TrustDomain>();
    for (const { entry } of known.values()) for (const name of entry?.federatesWith ?? []) names.add(name);
    names.delete(EVERY_DOMAIN as TrustDomain);
    if (names.size > MAX_BUNDLES)
      throw Failure.protocol(`entries federate with more than ${MAX_BUNDLES} trust domains`);
    const found = new Map<TrustDomain, Bundle | undefined>();
    const all = [...names];
    for (let from = 0; from < all.length; from += BUNDLES_AT_ONCE) {
      await Promise.all(
        all.slice(from, from + BUNDLES_AT_ONCE).map(async (name) => found.set(name, await this.#foreignBundle(name))),
      );
    }
    return found;
  }

  async #foreignBundle(trustDomain: TrustDomain): Promise<Bundle | undefined> {
    try {
      return await this.#ask(API.federatedBundle, GetFederatedBundleRequest, { trustDomain, outputMask: undefined });
    } catch (error) {
      if (error instanceof Failure && error.code === status.NOT_FOUND) return undefined;
      throw error;
    }
  }

  #ask<Q>(path: string, request: Parameters<Connection['ask']>[1], message: Q): Promise<Bundle> {
    return this.#connection.ask(path, request, Bundle, message, CALL_MS);
  }

  /** Until the next poll, or the end. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        next.cancel();
        resolve();
      };
      const next = this.#parts.clock.after(this.#parts.syncInterval, () => {
        this.#stop.signal.removeEventListener('abort', end);
        resolve();
      });
      this.#stop.signal.addEventListener('abort', end, { once: true });
      if (this.#stop.signal.aborted) end();
    });
  }
}

function versionOf(revisionNumber: bigint, createdAt: bigint): string {
  return `${revisionNumber} ${createdAt}`;
}

/** All answers to one request. */
async function pages(call: Sync): Promise<Pick<SyncAuthorizedEntriesResponse, 'entries' | 'entryRevisions'>> {
  const entries: SpireEntry[] = [];
  const entryRevisions: SyncAuthorizedEntriesResponse['entryRevisions'] = [];
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await call.next();
    if (answer === undefined) throw Failure.protocol('the sync ended before its last answer');
    for (const one of answer.entries) entries.push(one);
    for (const one of answer.entryRevisions) entryRevisions.push(one);
    if (entries.length > MAX_ENTRIES || entryRevisions.length > MAX_ENTRIES) break;
    if (!answer.more) return { entries, entryRevisions };
  }
  throw Failure.protocol(`there are more than ${MAX_ENTRIES} entries`);
}
