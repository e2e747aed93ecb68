/**
 * Which entries each agent serves: those whose parent is the agent itself, its alias, a node alias that its selectors match,
 * or the SPIFFE ID of an entry found before. Kept for the connected agents, and brought up to date by changes of entries,
 * agents and bundles.
 */

import type { Clock } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { Agent, Entry, EntryChange, Registry } from '../registry/index.ts';
import { everyEntry, isExpired, isFederated, localAgentId, templateOf } from '../registry/index.ts';
import { EVERY_DOMAIN, formatSelector, isNegated, type TrustDomain, trustDomainId } from '../spiffe/index.ts';

/** What an agent may have now. */
export interface View {
  readonly agentId: string;
  /** By id: those that a stock agent understands. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** By id: for Sidekey's own agents, which know templates and negative selectors. */
  readonly all: ReadonlyMap<string, Entry>;
  /** Grows when the entries, or a bundle that they need, change. */
  readonly revision: number;
  /** Whether an entry federates with this trust domain. */
  federatesWith(trustDomain: string): boolean;
  /** Calls the listener after each change. @returns a function that removes it */
  watch(listener: () => void): () => void;
  /** Call once when it is not used any more. */
  release(): void;
}

export interface AuthorizedParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'onBundleChange' | 'onReplaced' | 'onMove'>;
  readonly clock: Clock;
}

/** More than any entry's own revision. */
const REPLACED = 2n ** 32n;

export class AuthorizedEntries {
  readonly #parts: AuthorizedParts;
  readonly #servers: readonly string[];
  readonly #local: string;
  readonly #byParent = new Map<string, Map<string, Entry>>();
  readonly #views = new Map<string, AgentView>();
  /** The views that depend on entries with a parent. */
  readonly #dependents = new Map<string, Set<AgentView>>();
  /** Grows when all SVIDs issued before must be replaced. */
  #epoch = 0;
  /** The serial numbers of unended revocations, by entry. */
  #revoked = new Map<string, string[]>();
  /** The other trust domains whose bundles are there, sorted, and how often these have changed. */
  #domains: readonly string[];
  #domainsEpoch = 0;
  readonly #stops: (() => void)[];

  constructor(parts: AuthorizedParts) {
    const { registry, ca, clock } = parts;
    this.#parts = parts;
    this.#servers = serverIds(registry.trustDomain);
    this.#domains = domainsOf(registry);
    this.#local = localAgentId(registry.trustDomain);
    for (const entry of everyEntry(registry)) if (!isExpired(entry, clock.now())) this.#file(entry);
    this.#countRevoked();
    this.#stops = [
      registry.onChange((changes) => this.#entriesChanged(changes)),
      registry.agents.onChange((id) => this.#views.get(id)?.rebuild()),
      registry.federatedBundles.onChange((name) => {
        this.#noteDomain(name);
        for (const view of this.#views.values()) if (view.federatesWith(name)) view.touch();
      }),
      registry.revocations.onChange(() => {
        this.#countRevoked();
        this.#touchAll();
      }),
      ca.onBundleChange(() => this.#touchAll()),
      // A taint is part of the bundle for agents.
      ca.onMove(() => this.#touchAll()),
      ca.onReplaced(() => {
        this.#epoch += 1;
        this.#touchAll();
      }),
    ];
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  /** The view of an agent; release it when it is not used any more. */
  view(agentId: string): View {
    let view = this.#views.get(agentId);
    if (view === undefined) {
      view = new AgentView(agentId, {
        find: () => this.#find(agentId),
        depend: (one, parents) => this.#depend(one, parents),
        forget: (one) => {
          this.#views.delete(agentId);
          this.#depend(one, NONE);
        },
      });
      this.#views.set(agentId, view);
      view.build();
    }
    view.users += 1;
    return view;
  }

  /**
   * The revision of an entry for agents: a stock agent makes its SVID anew when it changes. So it is the entry's own, and
   * changes also when an SVID of the entry was revoked, all SVIDs must be replaced, or the entry federates with all trust
   * domains and these change.
   */
  revisionOf({ id, revisionNumber, federatesWith }: Entry): bigint {
    const replaced = this.#epoch + (this.#revoked.get(id)?.length ?? 0);
    const domains = federatesWith.some((one) => one === EVERY_DOMAIN) ? this.#domainsEpoch : 0;
    return BigInt(revisionNumber) + BigInt(replaced + domains) * REPLACED;
  }

  /** The trust domains whose bundles callers of the entry get, by their names: stock agents know no word for all. */
  domainsOf({ federatesWith }: Pick<Entry, 'federatesWith'>): readonly string[] {
    return federatesWith.some((one) => one === EVERY_DOMAIN) ? this.#domains : federatesWith;
  }

  /** The serial numbers of unended revocations of SVIDs that were issued for these entries. */
  revokedOf(entries: ReadonlyMap<string, unknown>): string[] {
    const [fewer, other] = entries.size < this.#revoked.size ? [entries, this.#revoked] : [this.#revoked, entries];
    const serials: string[] = [];
    for (const id of fewer.keys()) if (other.has(id)) serials.push(...this.#revoked.get(id)!);
    return serials.sort();
  }

  #noteDomain(name: string): void {
    const isThere = this.#parts.registry.federatedBundles.get(name) !== undefined;
    if (isThere === this.#domains.includes(name)) return;
    this.#domains = domainsOf(this.#parts.registry);
    this.#domainsEpoch += 1;
  }

  #countRevoked(): void {
    this.#revoked = new Map();
    for (const { entryId, serial } of this.#parts.registry.revocations.all()) {
      const ofEntry = this.#revoked.get(entryId) ?? [];
      ofEntry.push(serial);
      if (entryId !== '') this.#revoked.set(entryId, ofEntry);
    }
  }

  #touchAll(): void {
    for (const view of this.#views.values()) view.touch();
  }

  #file(entry: Entry): void {
    if (entry.parentId === '') return;
    const ofParent = this.#byParent.get(entry.parentId) ?? new Map<string, Entry>();
    this.#byParent.set(entry.parentId, ofParent.set(entry.id, entry));
  }

  #entriesChanged(changes: readonly EntryChange[]): void {
    const affected = new Set<AgentView>();
    for (const { before, after } of changes) {
      if (before !== undefined) {
        const ofParent = this.#byParent.get(before.parentId);
        ofParent?.delete(before.id);
        if (ofParent?.size === 0) this.#byParent.delete(before.parentId);
      }
      if (after !== undefined) this.#file(after);
      for (const entry of [before, after]) {
        for (const view of this.#dependents.get(entry?.parentId ?? '') ?? []) affected.add(view);
      }
    }
    for (const view of affected) view.rebuild();
  }

  #depend(view: AgentView, parents: ReadonlySet<string>): void {
    for (const parent of view.parents) {
      const having = this.#dependents.get(parent);
      having?.delete(view);
      if (having?.size === 0) this.#dependents.delete(parent);
    }
    for (const parent of parents) {
      const having = this.#dependents.get(parent) ?? new Set<AgentView>();
      this.#dependents.set(parent, having.add(view));
    }
  }

  /** The entries of an agent, and the parents that decide it. */
  #find(agentId: string): Found {
    const agent = this.#parts.registry.agents.get(agentId);
    // Neither node aliases nor the entries of the server's own host can be reached by an entry of these SPIFFE IDs.
    const parents = new Set([...this.#servers, this.#local]);
    const entries = new Map<string, Entry>();
    const all = new Map<string, Entry>();
    if (agent === undefined || agent.banned) return { parents, entries, all };
    const waiting = [...this.#startOf(agent)];
    for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
      if (parents.has(parent)) continue;
      parents.add(parent);
      for (const entry of this.#byParent.get(parent)?.values() ?? []) {
        all.set(entry.id, entry);
        if (isForAgents(entry)) entries.set(entry.id, entry);
        // No agent has the ID of a template.
        waiting.push(entry.spiffeId);
      }
    }
    // Most agents have no others; then one map is kept.
    return { parents, entries: entries.size === all.size ? all : entries, all };
  }

  *#startOf({ id, alias, selectors }: Agent): Iterable<string> {
    yield id;
    if (alias !== '') yield alias;
    const has = new Set(selectors.map(formatSelector));
    for (const server of this.#servers) {
      for (const { spiffeId, selectors: needed } of this.#byParent.get(server)?.values() ?? []) {
        if (needed.length > 0 && needed.every((one) => !isNegated(one) && has.has(formatSelector(one)))) yield spiffeId;
      }
    }
  }
}

const NONE: ReadonlySet<string> = new Set();

interface Found {
  readonly parents: ReadonlySet<string>;
  readonly entries: ReadonlyMap<string, Entry>;
  readonly all: ReadonlyMap<string, Entry>;
}

interface ViewParts {
  readonly find: () => Found;
  readonly depend: (view: AgentView, parents: ReadonlySet<string>) => void;
  readonly forget: (view: AgentView) => void;
}

class AgentView implements View {
  readonly agentId: string;
  readonly #parts: ViewParts;
  readonly #listeners = new Set<() => void>();
  parents: ReadonlySet<string> = NONE;
  entries: ReadonlyMap<string, Entry> = new Map();
  all: ReadonlyMap<string, Entry> = new Map();
  revision = 0;
  users = 0;

  constructor(agentId: string, parts: ViewParts) {
    this.agentId = agentId;
    this.#parts = parts;
  }

  build(): void {
    const { parents, entries, all } = this.#parts.find();
    this.#parts.depend(this, parents);
    this.parents = parents;
    this.entries = entries;
    this.all = all;
  }

  rebuild(): void {
    this.build();
    this.touch();
  }

  touch(): void {
    this.revision += 1;
    for (const listener of [...this.#listeners]) listener();
  }

  federatesWith(trustDomain: string): boolean {
    for (const entry of this.all.values()) if (isFederated(entry, trustDomain)) return true;
    return false;
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  release(): void {
    this.users -= 1;
    if (this.users === 0) this.#parts.forget(this);
  }
}

function domainsOf({ federatedBundles }: Pick<Registry, 'federatedBundles'>): string[] {
  return federatedBundles.list().map(({ trustDomain }) => trustDomain);
}

/** The parents of node aliases. */
function serverIds(trustDomain: TrustDomain): string[] {
  return ['spire', 'sidekey'].map((server) => `${trustDomainId(trustDomain)}/${server}/server`);
}

/** A stock agent knows neither templates nor negative selectors: it would give the entry to callers that it excludes. */
function isForAgents(entry: Entry): boolean {
  return templateOf(entry) === undefined && !entry.selectors.some(isNegated) && entry.selectors.length > 0;
}
