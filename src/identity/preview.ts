/** Predicts which connected callers would gain, lose or change an identity by a write that has not happened. */

import { isKeptIfAsked, isUnread } from '../attest/index.ts';
import { Slices } from '../base/index.ts';
import {
  compareAge,
  type Entry,
  type EntryChange,
  isExpired,
  MatchIndex,
  missing,
  type Registry,
} from '../registry/index.ts';
import { formatSelector, isNegated, type Selector, type SpiffeId, type TemplateText } from '../spiffe/index.ts';
import type { Caller } from './caller.ts';
import { split } from './classes.ts';
import { defaultEntry } from './default-entry.ts';
import { type Grant, isGrant, renderedGrant } from './grant.ts';
import type { RenderedFacts, Unrendered } from './renderings.ts';
import { sameContent } from './svids.ts';

/** What a write would change for one process. */
export interface CallerPreview {
  readonly pid: number;
  readonly uid: number;
  /** The user or container. */
  readonly owner: string;
  /** Number of its connections for which it is the same. */
  readonly connections: number;
  readonly gained: readonly SpiffeId[];
  readonly lost: readonly SpiffeId[];
  /** Their certificates would differ, in DNS names or lifetime for example. */
  readonly changed: readonly SpiffeId[];
  /**
   * Those that it gains if facts that were not read, because no entry asks for them yet, fit. A template whose values were
   * not read stands for what it would make.
   */
  readonly mayGain: readonly (SpiffeId | TemplateText)[];
  /** The identity under the name `default`, if that would change; null: none. */
  readonly byDefault: { readonly before: SpiffeId | null; readonly after: SpiffeId | null } | undefined;
}

export interface Preview {
  /** In the order of their connections. */
  readonly callers: readonly CallerPreview[];
  /** Number of further processes that would be affected. */
  readonly more: number;
  /** Number of processes some of whose facts no entry asks for yet, and that could not be read for the preview. */
  readonly unread: number;
}

export interface PreviewParts {
  readonly registry: Pick<Registry, 'askers' | 'asksFor' | 'negatives'>;
  /** The SPIFFE ID that a template makes for a caller with these facts, or why it makes none. */
  readonly render: (entry: Entry, facts: RenderedFacts) => { readonly spiffeId: SpiffeId } | Unrendered;
  readonly callers: Iterable<Caller>;
  readonly now: number;
  /** Reads all facts of a process, as `type:value`; undefined if they can't be read. */
  readonly inspect: (pid: number) => Promise<ReadonlySet<string> | undefined>;
}

/** Maximum number of processes whose facts are read for one preview. */
const MOST_INSPECTED = 200;
/** No further process is read after this time, in milliseconds. */
const INSPECT_MS = 3_000;

type Outcome = Omit<CallerPreview, 'pid' | 'uid' | 'owner' | 'connections'>;

/**
 * @param changes the planned changes, as the registry would report them
 * @param most the maximum number of listed processes
 */
export async function previewChanges(
  changes: readonly EntryChange[],
  most: number,
  parts: PreviewParts,
): Promise<Preview> {
  const slices = new Slices();
  const forecast = new Forecast(parts);
  for (const { before, after } of changes) {
    forecast.add(before, after);
    if (slices.isOver()) await slices.next();
  }
  const facts = new Facts(parts);
  const found = new Map<string, CallerPreview>();
  let more = 0;
  for (const caller of [...parts.callers]) {
    if (slices.isOver()) await slices.next();
    const { pid, uid } = caller.peer.credentials;
    const outcome = forecast.of(caller, forecast.asksForUnread ? await facts.of(pid) : undefined);
    if (outcome === undefined) continue;
    const key = JSON.stringify([pid, outcome]);
    const known = found.get(key);
    if (known !== undefined) found.set(key, { ...known, connections: known.connections + 1 });
    else if (found.size < most) found.set(key, { pid, uid, owner: caller.owner, connections: 1, ...outcome });
    else more += 1;
  }
  return { callers: [...found.values()], more, unread: facts.unread };
}

/** The facts of processes, read once each, within a budget. */
class Facts {
  readonly #inspect: PreviewParts['inspect'];
  readonly #byPid = new Map<number, ReadonlySet<string> | undefined>();
  readonly #late = performance.now() + INSPECT_MS;
  unread = 0;

  constructor({ inspect }: PreviewParts) {
    this.#inspect = inspect;
  }

  async of(pid: number): Promise<ReadonlySet<string> | undefined> {
    if (!this.#byPid.has(pid)) {
      const may = this.#byPid.size < MOST_INSPECTED && performance.now() < this.#late;
      const facts = may ? await this.#inspect(pid) : undefined;
      if (facts === undefined) this.unread += 1;
      this.#byPid.set(pid, facts);
    }
    return this.#byPid.get(pid);
  }
}

class Forecast {
  readonly #parts: PreviewParts;
  readonly #gone = new Set<Entry>();
  readonly #added = new MatchIndex();
  /** The entries with selectors that callers may lack because no entry asks for them yet, without these selectors. */
  readonly #uncertain = new MatchIndex();
  readonly #addedById = new Map<string, Entry>();
  /** Some entry has such selectors. */
  asksForUnread = false;
  /** Outcomes by the facts that decide them. */
  readonly #outcomes = new Map<string, Outcome | undefined>();

  constructor(parts: PreviewParts) {
    this.#parts = parts;
  }

  add(before: Entry | undefined, after: Entry | undefined): void {
    const { registry, now } = this.#parts;
    if (before !== undefined) this.#gone.add(before);
    if (after === undefined || isExpired(after, now)) return;
    this.#added.put(after);
    this.#addedById.set(after.id, after);
    const read = after.selectors.filter((selector) => !isUnreadBy(selector, registry));
    if (read.length === after.selectors.length) return;
    this.asksForUnread = true;
    if (read.length > 0) this.#uncertain.put({ ...after, selectors: read });
  }

  /** @param facts all facts of the process, if they were read @returns undefined if nothing changes for the caller */
  of(caller: Caller, facts: ReadonlySet<string> | undefined): Outcome | undefined {
    const { contained, selectors } = caller;
    // A lapsing entry is not decided by the facts, so the entries are part of the key.
    const ids = caller.entries.map(({ id }) => id);
    const key = JSON.stringify([contained, [...selectors], facts && [...facts], ids]);
    if (!this.#outcomes.has(key)) this.#outcomes.set(key, this.#outcome(caller, facts));
    return this.#outcomes.get(key);
  }

  /** The entries as the caller would get them. `unsure`: those whose templates have values that were not read. */
  #rendered(entries: readonly Entry[], { renderedFacts }: Caller): { added: Grant[]; unsure: Entry[] } {
    const added: Grant[] = [];
    const unsure: Entry[] = [];
    for (const entry of entries) {
      if (isGrant(entry)) {
        added.push(entry);
        continue;
      }
      const made = this.#parts.render(entry, renderedFacts);
      if (!('why' in made)) added.push(renderedGrant(entry, made.spiffeId));
      else if (made.spiffeId === undefined) unsure.push(entry);
    }
    return { added, unsure };
  }

  #outcome(caller: Caller, facts: ReadonlySet<string> | undefined): Outcome | undefined {
    const { now } = this.#parts;
    const before = caller.entries;
    const selectors = facts === undefined ? caller.selectors : new Set([...caller.selectors, ...facts]);
    const [matching] = split(this.#added.match(selectors, now), caller);
    const { added, unsure } = this.#rendered(matching, caller);
    const [uncertain] = split(this.#uncertain.match(selectors, now), caller);
    const after = [...before.filter((grant) => !this.#gone.has(grant.rendered?.entry ?? grant)), ...added].sort(
      compareAge,
    );
    const [had, has] = [byId(before), byId(after)];
    const [first, then] = [defaultEntry(before)?.spiffeId ?? null, defaultEntry(after)?.spiffeId ?? null];
    const mayGain = [...uncertain, ...unsure]
      .map(({ id }) => this.#addedById.get(id)!)
      .filter((entry) => facts === undefined || missing(entry, selectors).every((one) => isUnreadIn(facts, one)))
      .map(({ spiffeId }) => spiffeId)
      .filter((id) => !has.has(id as SpiffeId));
    const outcome: Outcome = {
      gained: [...has.keys()].filter((id) => !had.has(id)),
      lost: [...had.keys()].filter((id) => !has.has(id)),
      changed: [...has].filter(([id, entry]) => had.has(id) && !sameContent(had.get(id)!, entry)).map(([id]) => id),
      mayGain: [...new Set(mayGain)],
      byDefault: first === then ? undefined : { before: first, after: then },
    };
    const { gained, lost, changed } = outcome;
    const isSame = [gained, lost, changed, outcome.mayGain].every(({ length }) => length === 0);
    return isSame && outcome.byDefault === undefined ? undefined : outcome;
  }
}

/** A negative selector is read only once an entry asks for it. */
function isUnreadBy(selector: Selector, registry: PreviewParts['registry']): boolean {
  if (!isNegated(selector)) return isUnread(selector, registry);
  return !registry.negatives(selector.type).some((one) => formatSelector(one) === formatSelector(selector));
}

/** True if the facts have nothing of the selector's kind, because reading it is costly, as of a program's hash. */
function isUnreadIn(facts: ReadonlySet<string>, selector: Selector): boolean {
  const asksFor = (kind: string) => [...facts].some((fact) => fact.startsWith(`${kind}:`));
  if (isNegated(selector)) return true;
  return !isKeptIfAsked(selector) && isUnread(selector, { askers: () => 0, asksFor });
}

/** The entry that gives each SPIFFE ID: the oldest. */
function byId(entries: readonly Grant[]): Map<SpiffeId, Grant> {
  const map = new Map<SpiffeId, Grant>();
  for (const entry of entries) if (!map.has(entry.spiffeId)) map.set(entry.spiffeId, entry);
  return map;
}
