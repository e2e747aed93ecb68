/** The attached agents of Sidekey: tells them of changes, and answers for their streams. */

import { type Clock, Listeners, printable, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority, LaggingProxy } from '../ca/index.ts';
import { Rates } from '../limits/index.ts';
import type { Registry } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import { type Log, ownedLog } from '../telemetry/index.ts';
import { type Method, Status, StatusError } from '../wire/index.ts';
import type { Access } from './access.ts';
import {
  type AgentAnswer,
  Attached,
  type AttachedParts,
  MOST_ANSWER_BYTES,
  MOST_LISTED,
  type Part,
} from './attached.ts';
import type { AuthorizedEntries } from './authorized.ts';
import type { AgentPeer } from './peer.ts';

export interface AttachmentsParts {
  readonly registry: Registry;
  readonly ca: AttachedParts['ca'] & Pick<CertificateAuthority, 'onBundleChange' | 'onMove' | 'onReplaced'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  /** In seconds, for entries without one. */
  readonly x509SvidTtl: number;
  readonly jwtSvidTtl: number;
  /** Called with the peer of each agent that has attached: its connection may last as long as its SVID. */
  readonly onAttached: (peer: AgentPeer) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What an attached agent does with revocation lists. */
export interface AgentRevocations {
  readonly agent: string;
  readonly state: 'refusing' | 'informed' | 'waiting' | 'unreachable';
  /** Since when it refuses, in milliseconds since the epoch. */
  readonly since: number | undefined;
  readonly rejection: string | undefined;
}

/** An attached agent, for people. */
export interface AttachedAgent {
  readonly id: string;
  readonly version: string;
  readonly host: string;
  readonly address: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Undefined: it has not reported yet. */
  readonly reportedAt: number | undefined;
  readonly connections: number;
  readonly streams: number;
  /** Streams that have not acknowledged the newest bundle. */
  readonly waiting: number;
}

/** An agent attached, or its stream ended. */
export interface AgentMove extends Pick<AttachedAgent, 'id' | 'host' | 'version' | 'address'> {
  readonly type: 'agent_attached' | 'agent_detached';
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const PATH = '/sidekey.agent.v1.Agents/Attach';
/** An agent that has been sent a bundle and does not report is not waited for any longer. */
const SILENT_MS = 60_000;
/** Of one agent: a burst, and a rate per second. */
const ATTACHES = [10, 1] as const;

export class Attachments {
  readonly #parts: AttachmentsParts;
  readonly #all = new Map<string, Attached>();
  readonly #stops: (() => void)[];
  readonly #moves: Listeners<AgentMove>;
  /** Agents that lack a bundle, by ID, and since when; a new stream and a newer bundle change nothing of it. */
  readonly #behind = new Map<string, number>();
  #revision: bigint;
  /** How often an agent may attach: each time it is told its whole state. */
  readonly #attaches: Rates;

  constructor(parts: AttachmentsParts) {
    const { registry, ca } = parts;
    this.#parts = parts;
    this.#revision = BigInt(parts.clock.now()) * 1_000n;
    this.#attaches = new Rates(...ATTACHES, parts.clock);
    this.#moves = new Listeners((err) => parts.log.error({ err }, 'a listener for agents failed'));
    const stale = (part: Part) => () => {
      for (const one of this.#all.values()) one.stale(part);
    };
    this.#stops = [
      registry.agents.onChange((id) => {
        this.#all.get(id)?.check();
        if (registry.agents.get(id) === undefined) this.#behind.delete(id);
      }),
      registry.federatedBundles.onChange(stale('federated')),
      registry.aliases.onChange(stale('aliases')),
      registry.revocations.onChange(() => {
        for (const one of [...this.#all.values()]) one.check();
        stale('revocations')();
      }),
      ca.onBundleChange(stale('bundle')),
      ca.onMove(stale('authorities')),
      ca.onReplaced(() => {
        for (const one of this.#all.values()) one.replaced();
      }),
    ];
  }

  get method(): Method<AgentPeer> {
    const { onAttached, ...parts } = this.#parts;
    const { log } = parts;
    const callbacks: Pick<AttachedParts, 'onGreeting' | 'onClosed' | 'nextRevision'> = {
      nextRevision: () => {
        this.#revision += 1n;
        return this.#revision;
      },
      onGreeting: (attached) => {
        const { id, host, version, peer } = attached;
        if (!this.#attaches.take(id)) {
          throw new StatusError(Status.RESOURCE_EXHAUSTED, 'the agent attaches too often: try again later');
        }
        const former = this.#all.get(id);
        this.#all.set(id, attached);
        former?.end(new StatusError(Status.ABORTED, `the agent has attached again, from ${peer.address}`));
        onAttached(peer);
        this.#moved('agent_attached', attached);
        const said = { host, version, address: peer.address };
        const owned = ownedLog(log, peer.owner.name, { agent: id });
        if (former === undefined || former.peer.address === peer.address) owned.info(said, 'an agent has attached');
        else owned.warn({ ...said, former: former.peer.address }, 'an agent has attached from another address');
      },
      onClosed: (attached) => {
        if (this.#all.get(attached.id) !== attached) return;
        this.#all.delete(attached.id);
        this.#moved('agent_detached', attached);
        const { id: agent, peer } = attached;
        ownedLog(log, peer.owner.name, { agent }).info({ address: peer.address }, 'an agent has gone');
      },
    };
    return {
      path: PATH,
      kind: 'bidirectional',
      maxMessageBytes: MOST_ANSWER_BYTES + 1024,
      open: (stream) => new Attached(stream, { ...parts, ...callbacks }),
    };
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#moves.clear();
  }

  /** Calls the listener when an agent has attached or has gone. @returns a function that removes it */
  onMove(listener: (move: AgentMove) => void): () => void {
    return this.#moves.add(listener);
  }

  #moved(type: AgentMove['type'], { id, host, version, peer: { address } }: Attached): void {
    this.#moves.tell({ type, at: this.#parts.clock.now(), id, host, version, address });
  }

  /** Number of attached agents. */
  get size(): number {
    return this.#all.size;
  }

  *list(): Iterable<AttachedAgent> {
    for (const { id, version, host, peer, since, report, reportedAt: at } of this.#all.values()) {
      const reportedAt = report === undefined ? undefined : at;
      const { connections = 0, streams = 0, waiting = 0 } = report ?? {};
      yield { id, version, host, address: peer.address, since, reportedAt, connections, streams, waiting };
    }
  }

  /** Streams of agents that have not acknowledged the bundle with this number, or a later one. Lazy. */
  *lagging(sequenceNumber: number): Iterable<LaggingProxy> {
    const now = this.#parts.clock.now();
    for (const { id, report } of this.#all.values()) {
      const row = { pid: 0, uid: 0, node: id, name: id, rejection: undefined };
      if (report === undefined || report.bundle < BigInt(sequenceNumber)) {
        const behind = this.#behind.get(id) ?? now;
        this.#behind.set(id, behind);
        if (now - behind < SILENT_MS) yield row;
        continue;
      }
      this.#behind.delete(id);
      if (report.acknowledged < BigInt(sequenceNumber)) {
        if (report.lagging.length === 0) yield row;
        for (const { pid, uid, node, name, rejection } of report.lagging) {
          const text = rejection === '' ? undefined : printable(rejection);
          yield {
            pid,
            uid,
            node: printable(node === '' ? id : `${id} ${node}`),
            name: printable(name),
            rejection: text,
          };
        }
      }
    }
  }

  /** Agents with streams that may still use an SVID that one of these authorities signed. Lazy. */
  *using(authorityIds: ReadonlySet<string>): Iterable<LaggingProxy> {
    for (const { id, report } of this.#all.values()) {
      if (!report?.authoritiesInUse.some((one) => authorityIds.has(one))) continue;
      yield { pid: 0, uid: 0, node: id, name: id, rejection: undefined };
    }
  }

  /**
   * Those of these SPIFFE IDs of which a stream of an agent may still use a revoked SVID, or of which it is not known.
   */
  holders(spiffeIds: ReadonlySet<string>): Set<string> {
    const found = new Set<string>();
    for (const { report, knowsRevocations, entries } of this.#all.values()) {
      // A full list may lack some.
      if (report !== undefined && knowsRevocations && report.revokedInUse.length < MOST_LISTED) {
        for (const id of report.revokedInUse) if (spiffeIds.has(id)) found.add(id);
      } else {
        for (const id of spiffeIds) if (this.#gives(entries, id as SpiffeId)) found.add(id);
      }
    }
    return found;
  }

  #gives(entries: ReadonlyMap<string, unknown>, spiffeId: SpiffeId): boolean {
    const { registry } = this.#parts;
    const giving = [...registry.bySpiffeId(spiffeId), ...registry.couldRender(spiffeId)];
    return giving.some(({ id }) => entries.has(id));
  }

  /** What each agent does with the bundle of this number. Agents without streams have no part in it. */
  *revocations(sequenceNumber: number): Iterable<AgentRevocations> {
    for (const { id: agent, report, acknowledgedAt } of this.#all.values()) {
      if (report === undefined || report.streams === 0) continue;
      const { refusing, informed, waiting, unreachable, bundle, acknowledged, lagging } = report;
      const isBehind = bundle < BigInt(sequenceNumber) || (acknowledged < BigInt(sequenceNumber) && waiting > 0);
      const rejection = lagging.find((one) => one.rejection !== '')?.rejection;
      if (isBehind && refusing + informed + waiting > 0) {
        yield { agent, state: 'waiting', since: undefined, rejection: rejection && printable(rejection) };
      } else if (refusing > 0) yield { agent, state: 'refusing', since: acknowledgedAt, rejection: undefined };
      else if (informed > 0) yield { agent, state: 'informed', since: acknowledgedAt, rejection: undefined };
      else if (unreachable > 0) yield { agent, state: 'unreachable', since: undefined, rejection: undefined };
    }
  }

  /** Asks an agent a GET of its admin API. @throws ERR_AGENT_AWAY */
  async ask(agentId: string, path: string): Promise<AgentAnswer> {
    const attached = this.#all.get(agentId);
    const away = (why: string) => new SidekeyError('ERR_AGENT_AWAY', `the agent ${agentId} cannot be asked: ${why}`);
    if (attached === undefined) throw away('it is not attached, or is not one of Sidekey');
    try {
      return await attached.ask(path);
    } catch (error) {
      throw away((error as Error).message);
    }
  }
}
