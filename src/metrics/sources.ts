/** What the metrics read. */

import type { AgentCounts } from '../agents/index.ts';
import type { AttestationTimes, Pipe } from '../attest/index.ts';
import type { Clock } from '../base/index.ts';
import type { CertificateAuthority, IssuanceTimes } from '../ca/index.ts';
import type { DeliveryCounts, PushQueue } from '../delivery/index.ts';
import type { EndpointState, Federation, PublishedFileState, PublishingCounts } from '../federation/index.ts';
import type { Identities } from '../identity/index.ts';
import type { TokenCounts } from '../jwt/index.ts';
import type { MemoryBudget, Turns } from '../limits/index.ts';
import type { EntriesView, Registry, StoreTimes } from '../registry/index.ts';
import type { Counters, LogCounts, LoopLag, Tally } from '../telemetry/index.ts';

/** What a server and an agent have. They own nothing and change nothing. */
export interface HostMetricSources {
  readonly version: string;
  readonly clock: Clock;
  /** The directory of the database. */
  readonly dataDir: string;
  /** The name of its file. */
  readonly database: string;
  /** The parts by name, and whether each is ready. */
  readonly parts: () => readonly { readonly name: string; readonly ready: boolean }[];
  readonly counters: Counters;
  readonly deliveries: DeliveryCounts;
  readonly pushQueue: Pick<PushQueue, 'length'>;
  readonly identities: Pick<Identities, 'svidsInUse'>;
  readonly attestations: AttestationTimes;
  readonly tokens: TokenCounts;
  readonly store: StoreTimes;
  readonly pipe: Pick<Pipe, 'connectionCount'>;
  /** For each limit of owners, the use of the one that is nearest to it. */
  readonly usage: () => readonly { readonly setting: string; readonly used: number; readonly limit: number }[];
  readonly memory: Pick<MemoryBudget, 'heldBytes' | 'limitBytes'>;
  readonly turns: Pick<Turns, 'deferred'>;
  readonly adminRequests: () => Iterable<{
    readonly route: string;
    readonly method: string;
    readonly status: number;
    readonly count: number;
  }>;
  readonly log: LogCounts;
  /** Lines that stdout did not take. */
  readonly droppedLogLines: () => number;
  readonly loop: LoopLag;
}

/** Of a server. */
export interface MetricSources extends HostMetricSources {
  readonly issuances: IssuanceTimes;
  /** Of the agent port. */
  readonly agents: AgentCounts;
  /** The agents of Sidekey that are attached; undefined: none can. */
  readonly fleet: () => { list(): Iterable<{ readonly waiting: number }> } | undefined;
  readonly ca: Pick<CertificateAuthority, 'authorities' | 'bundle' | 'upstream' | 'revocationLists'>;
  readonly federation: Pick<Federation, 'list' | 'results'>;
  readonly publishing: PublishingCounts;
  /** Undefined while the server starts. */
  readonly published: () =>
    | { endpoint(): EndpointState | undefined; file(): PublishedFileState | undefined }
    | undefined;
  /** Authorities that began to sign, and that were tainted, by role. */
  readonly rotations: Tally;
  readonly taints: Tally;
  readonly registry: Pick<
    Registry,
    'size' | 'queuedWrites' | 'federatedBundles' | 'aliases' | 'revocations' | 'agents'
  >;
}

/** Of an agent. */
export interface AgentMetricSources extends HostMetricSources {
  readonly registry: Pick<EntriesView, 'size'>;
  /** Undefined while the agent starts. */
  readonly uplink: () => { readonly state: 'connected' | 'away'; readonly svidEnds: number | undefined } | undefined;
}
