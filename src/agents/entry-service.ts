/**
 * SPIRE's Entry service: the entries that an agent serves. The answer to a sync is held until something of the agent
 * changes, so that a stock agent, which asks again and again, learns of it at once.
 */

import type { Clock, Deadline } from '../base/index.ts';
import {
  GetAuthorizedEntriesRequest,
  GetAuthorizedEntriesResponse,
  SyncAuthorizedEntriesRequest,
  SyncAuthorizedEntriesResponse,
} from '../gen/spire/api/server/entry.ts';
import type { EntryMask } from '../gen/spire/api/types.ts';
import type { Entry } from '../registry/index.ts';
import { decodeRequest, type Method, Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import type { Access, Caller } from './access.ts';
import type { AuthorizedEntries, View } from './authorized.ts';
import { entryMessage, seconds } from './messages.ts';
import type { AgentPeer } from './peer.ts';

export interface EntryServiceParts {
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  readonly clock: Clock;
  /** The TTL of SVIDs of entries without one, in seconds. */
  readonly x509SvidTtl: number;
}

const PATH = '/spire.api.server.entry.v1.Entry';
/** Up to this number of entries one answer has all. */
const PAGE = 500;
/** Number of revisions in an answer. */
const REVISIONS = 5_000;
/** Stock agents have 30 s for a sync and what follows it. */
const LONGEST_HOLD_MS = 25_000;
/** An agent looks at the ends of its SVIDs after each sync only, so it is held for a part of the shortest life. */
const PART_OF_LIFE = 1 / 5;
/** An agent rotates its SVID at about half of its life, and cannot while it waits for an answer. */
const LEFT_OF_LIFE = 0.6;
/** Changes within this time are answered together: after an answer a stock agent pauses, for 5 s by default. */
const TOGETHER_MS = 10;
/** Of an answer, in bytes; stock agents refuse one of 4 MiB. */
const MAX_ANSWER_BYTES = 3 * 1024 * 1024;

/** What a connection has been told. */
interface Told {
  readonly view: View;
  revision: number | undefined;
}

export function entryService(parts: EntryServiceParts): Method<AgentPeer>[] {
  const { access, authorized } = parts;
  const told = new WeakMap<AgentPeer, Told>();
  const toldTo = (peer: AgentPeer, agentId: string): Told => {
    const known = told.get(peer);
    if (known !== undefined) return known;
    const made = { view: authorized.view(agentId), revision: undefined };
    told.set(peer, made);
    peer.onGone(() => made.view.release());
    return made;
  };
  return [
    {
      path: `${PATH}/GetAuthorizedEntries`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { outputMask } = decodeRequest(GetAuthorizedEntriesRequest, 'GetAuthorizedEntriesRequest', bytes);
        const { agent } = await access.require(call);
        const { view } = toldTo(call.peer, agent.id);
        const entries = [...view.entries.values()].map((one) => messageOf(one, outputMask, authorized));
        return GetAuthorizedEntriesResponse.encode({ entries }).finish();
      },
    },
    {
      path: `${PATH}/SyncAuthorizedEntries`,
      kind: 'bidirectional',
      open: (stream) => new Sync(stream, toldTo, parts),
    },
  ];
}

function messageOf(entry: Entry, mask: EntryMask | undefined, authorized: AuthorizedEntries) {
  const told = { revisionNumber: authorized.revisionOf(entry), domains: authorized.domainsOf(entry) };
  return entryMessage(entry, told, mask);
}

class Sync implements StreamHandler {
  readonly #stream: Stream<AgentPeer>;
  readonly #toldTo: (peer: AgentPeer, agentId: string) => Told;
  readonly #parts: EntryServiceParts;
  #hasBegun = false;
  #mask: EntryMask | undefined;
  /** The entries as of the answer, which the ids of later requests mean; undefined until then. */
  #entries: ReadonlyMap<string, Entry> | undefined;
  #isOver = false;
  #release: (() => void) | undefined;

  constructor(stream: Stream<AgentPeer>, toldTo: (peer: AgentPeer, agentId: string) => Told, parts: EntryServiceParts) {
    this.#stream = stream;
    this.#toldTo = toldTo;
    this.#parts = parts;
  }

  message(bytes: Uint8Array): void {
    const request = decodeRequest(SyncAuthorizedEntriesRequest, 'SyncAuthorizedEntriesRequest', bytes);
    if (this.#hasBegun) {
      this.#more(request.ids);
      return;
    }
    this.#hasBegun = true;
    if (request.ids.length > 0) throw new StatusError(Status.INVALID_ARGUMENT, 'the first request has no ids');
    this.#mask = request.outputMask && { ...request.outputMask, revisionNumber: true };
    this.#begin().catch((error: unknown) => this.#fail(error));
  }

  halfClose(): void {
    // While the answer is held, the stream stays open for it.
    if (this.#entries !== undefined) this.#end();
  }

  closed(): void {
    this.#isOver = true;
    this.#release?.();
  }

  async #begin(): Promise<void> {
    const caller = await this.#parts.access.require(this.#stream);
    const told = this.#toldTo(this.#stream.peer, caller.agent.id);
    if (told.revision === told.view.revision) await this.#hold(told.view, caller);
    if (this.#isOver) return;
    const why = this.#parts.access.whyNot(caller.svid);
    if (why !== undefined) throw this.#parts.access.deny(this.#stream.peer, why);
    told.revision = told.view.revision;
    this.#answer(told.view.entries);
  }

  /** Waits until the view changes, for as long as the agent may be held. */
  async #hold(view: View, caller: Caller): Promise<void> {
    const { clock } = this.#parts;
    const longest = this.#longestHold(view, caller);
    if (longest <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    let soon: Deadline | undefined;
    const late = clock.after(longest, resolve);
    const stop = view.watch(() => {
      soon ??= clock.after(TOGETHER_MS, resolve);
    });
    this.#release = () => {
      late.cancel();
      soon?.cancel();
      stop();
      resolve();
    };
    await promise;
    this.#release();
    this.#release = undefined;
  }

  #longestHold(view: View, { svid }: Caller): number {
    const { clock, x509SvidTtl } = this.#parts;
    const { notBefore, notAfter } = svid;
    const untilRotation = notAfter - (notAfter - notBefore) * LEFT_OF_LIFE - clock.now();
    let shortest = x509SvidTtl;
    for (const { x509SvidTtl: ttl } of view.entries.values()) if (ttl !== 0) shortest = Math.min(shortest, ttl);
    return Math.min(LONGEST_HOLD_MS, shortest * 1000 * PART_OF_LIFE, untilRotation);
  }

  /** All entries if they fit into one answer, else their revisions, of which the agent asks for those that it lacks. */
  #answer(entries: ReadonlyMap<string, Entry>): void {
    const { authorized } = this.#parts;
    this.#entries = entries;
    if (entries.size <= PAGE) {
      const all = [...entries.values()].map((one) => messageOf(one, this.#mask, authorized));
      const message = SyncAuthorizedEntriesResponse.encode({ entryRevisions: [], entries: all, more: false }).finish();
      if (message.length <= MAX_ANSWER_BYTES) {
        this.#stream.send(message);
        this.#end();
        return;
      }
    }
    const revisions = [...entries.values()].map((one) => {
      return { id: one.id, revisionNumber: authorized.revisionOf(one), createdAt: seconds(one.createdAt) };
    });
    for (let from = 0; from < revisions.length; from += REVISIONS) {
      const entryRevisions = revisions.slice(from, from + REVISIONS);
      const more = from + REVISIONS < revisions.length;
      this.#stream.send(SyncAuthorizedEntriesResponse.encode({ entryRevisions, entries: [], more }).finish());
    }
  }

  /** Sends entries that the agent asks for, in answers of limited size. Ids that it may not have are left out. */
  #more(ids: readonly string[]): void {
    const known = this.#entries;
    if (known === undefined) throw new StatusError(Status.FAILED_PRECONDITION, 'the first answer has not come yet');
    const wanted = [...new Set(ids)].map((id) => known.get(id)).filter((one) => one !== undefined);
    let page: ReturnType<typeof messageOf>[] = [];
    let bytes = 0;
    const send = (more: boolean) => {
      this.#stream.send(SyncAuthorizedEntriesResponse.encode({ entryRevisions: [], entries: page, more }).finish());
      page = [];
      bytes = 0;
    };
    for (const entry of wanted) {
      const message = messageOf(entry, this.#mask, this.#parts.authorized);
      const size = sizeOf(message);
      if (page.length >= PAGE || (page.length > 0 && bytes + size > MAX_ANSWER_BYTES)) send(true);
      page.push(message);
      bytes += size;
    }
    send(false);
  }

  #end(): void {
    this.#isOver = true;
    this.#stream.end(Status.OK, '');
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error instanceof StatusError) this.#stream.end(error.status, error.message, error.details);
    else this.#stream.end(Status.UNAVAILABLE, 'the entries cannot be given now; the log of the server has the reason');
  }
}

/** At least the size of its encoding, without encoding it. */
function sizeOf(message: ReturnType<typeof messageOf>): number {
  let bytes = 512 + message.hint.length * 3;
  for (const { type, value } of message.selectors) bytes += type.length + value.length * 3 + 16;
  for (const text of [...message.dnsNames, ...message.federatesWith]) bytes += text.length + 8;
  return bytes + (message.spiffeId?.path.length ?? 0) + (message.parentId?.path.length ?? 0);
}
