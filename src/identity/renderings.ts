/**
 * Renders the templates of entries for callers. A template is not rendered if a value is missing or is no path segment,
 * if the SPIFFE ID belongs to another entry or is reserved, or if the template has made too many already. Then the caller
 * does not get the entry.
 *
 * Callers with the same SPIFFE ID by the same entry share one grant, and so one SVID.
 */

import { type Attestation, isAboutContainer, type PlaceholderValue, placeholderOf } from '../attest/index.ts';
import type { Clock } from '../base/index.ts';
import { type Entry, isReservedSegment, type Registry, templateOf } from '../registry/index.ts';
import { pathOf, renderTemplate, type SpiffeId, SpiffeIdError } from '../spiffe/index.ts';
import { type Grant, isGrant, renderedGrant } from './grant.ts';

/**
 * Maximum number of SPIFFE IDs that one template makes at a time: those of connected callers, and those that have a valid
 * SVID that was issued since the start.
 */
export const MAX_RENDERED = 1_000;

/** Minimum interval of these checks, because many callers may be refused at a time; in milliseconds. */
const SWEEP_MS = 1_000;

/** An entry whose selectors match, but whose template is not rendered for the caller. */
export interface Unrendered {
  readonly entry: Entry;
  /** One line for display. */
  readonly why: string;
  /** The SPIFFE ID that is refused to the template; undefined if it renders none. */
  readonly spiffeId: SpiffeId | undefined;
  /** True if only a value is missing that no attestation has looked for yet, so the next one decides. */
  readonly isUnread: boolean;
}

export interface RenderedEntries {
  /** In the order of the entries. */
  readonly grants: readonly Grant[];
  readonly unrendered: readonly Unrendered[];
}

/** The facts that a template is rendered from. */
export type RenderedFacts = Pick<Attestation, 'values' | 'contained'>;

/** A SPIFFE ID that a template has made. */
interface Use {
  grant: Grant;
  /** The classes of callers that have it. */
  readonly holders: Set<object>;
  /** The end of its last SVID, in milliseconds since the epoch. */
  until: number;
}

export interface RenderingsParts {
  readonly registry: Pick<Registry, 'names'>;
  readonly clock: Pick<Clock, 'now'>;
}

const NONE: readonly never[] = [];

export class Renderings {
  readonly #parts: RenderingsParts;
  /** By the entry's id, then by SPIFFE ID. */
  readonly #uses = new Map<string, Map<SpiffeId, Use>>();
  readonly #byHolder = new Map<object, ReadonlySet<Use>>();
  /** By the entry's id: when its uses were last checked for ones that are over, in milliseconds since the epoch. */
  readonly #swept = new Map<string, number>();

  constructor(parts: RenderingsParts) {
    this.#parts = parts;
  }

  /**
   * The grants of these entries for callers with these facts. They count as used by the holder until the next call or
   * {@link release}.
   */
  renderAll(holder: object, entries: readonly Entry[], facts: RenderedFacts): RenderedEntries {
    if (entries.every(isGrant)) {
      this.release(holder);
      return { grants: entries, unrendered: NONE };
    }
    const grants: Grant[] = [];
    const unrendered: Unrendered[] = [];
    const uses = new Set<Use>();
    for (const entry of entries) {
      if (isGrant(entry)) {
        grants.push(entry);
        continue;
      }
      const found = this.preview(entry, facts);
      if ('why' in found) {
        unrendered.push(found);
        continue;
      }
      const use = this.#use(entry, found.spiffeId);
      use.holders.add(holder);
      uses.add(use);
      grants.push(use.grant);
    }
    const former = this.#byHolder.get(holder);
    if (uses.size > 0) this.#byHolder.set(holder, uses);
    else this.#byHolder.delete(holder);
    for (const use of former ?? NONE) if (!uses.has(use)) this.#leave(use, holder);
    return { grants, unrendered };
  }

  /** The SPIFFE ID that the entry's template renders, without counting it; or why it is not rendered. */
  preview(entry: Entry, facts: RenderedFacts): { readonly spiffeId: SpiffeId } | Unrendered {
    const failed = (why: string, spiffeId?: SpiffeId) => ({ entry, why, spiffeId, isUnread: false });
    let spiffeId: SpiffeId;
    try {
      spiffeId = renderTemplate(templateOf(entry)!, (name) => valueFor(name, entry, facts));
    } catch (thrown) {
      if (thrown instanceof Unread) return { ...failed(thrown.message), isUnread: true };
      if (thrown instanceof NoValue || thrown instanceof SpiffeIdError) return failed(thrown.message);
      throw thrown;
    }
    if (isReservedSegment(pathOf(spiffeId).split('/', 2)[1]!)) {
      return failed(`${spiffeId} is below a path that is reserved for the servers of the trust domain`, spiffeId);
    }
    if (this.#parts.registry.names(spiffeId)) {
      return failed(`another entry names ${spiffeId}, and a template never makes such an ID`, spiffeId);
    }
    if (!this.#hasRoom(entry.id, spiffeId)) {
      return failed(`the template has made ${MAX_RENDERED} other SPIFFE IDs, which is the limit`, spiffeId);
    }
    return { spiffeId };
  }

  /** The holder has no grants any more. */
  release(holder: object): void {
    const uses = this.#byHolder.get(holder);
    if (uses === undefined) return;
    this.#byHolder.delete(holder);
    for (const use of uses) this.#leave(use, holder);
  }

  /** Notes that an SVID was issued: its SPIFFE ID counts until the SVID's end, in milliseconds since the epoch. */
  issued(grant: Grant, notAfter: number): void {
    if (grant.rendered === undefined) return;
    const use = this.#use(grant.rendered.entry, grant.spiffeId);
    use.until = Math.max(use.until, notAfter);
  }

  #use(entry: Entry, spiffeId: SpiffeId): Use {
    let ofEntry = this.#uses.get(entry.id);
    if (ofEntry === undefined) {
      ofEntry = new Map();
      this.#uses.set(entry.id, ofEntry);
    }
    let use = ofEntry.get(spiffeId);
    if (use === undefined) {
      use = { grant: renderedGrant(entry, spiffeId), holders: new Set(), until: 0 };
      ofEntry.set(spiffeId, use);
    } else if (use.grant.rendered!.entry !== entry) {
      use.grant = renderedGrant(entry, spiffeId);
    }
    return use;
  }

  #leave(use: Use, holder: object): void {
    use.holders.delete(holder);
    this.#forget(use);
  }

  #forget(use: Use): void {
    if (use.holders.size > 0 || use.until > this.#parts.clock.now()) return;
    const { id, spiffeId } = use.grant;
    const ofEntry = this.#uses.get(id);
    if (ofEntry?.get(spiffeId) === use) ofEntry.delete(spiffeId);
    if (ofEntry?.size !== 0) return;
    this.#uses.delete(id);
    this.#swept.delete(id);
  }

  #hasRoom(entryId: string, spiffeId: SpiffeId): boolean {
    const ofEntry = this.#uses.get(entryId);
    if (ofEntry === undefined || ofEntry.size < MAX_RENDERED || ofEntry.has(spiffeId)) return true;
    const now = this.#parts.clock.now();
    if (Math.abs(now - (this.#swept.get(entryId) ?? Number.NEGATIVE_INFINITY)) < SWEEP_MS) return false;
    this.#swept.set(entryId, now);
    for (const use of [...ofEntry.values()]) this.#forget(use);
    return ofEntry.size < MAX_RENDERED;
  }
}

/** A placeholder without a value. */
class NoValue extends Error {}

/** The same, because the placeholder is newer than the attestation. */
class Unread extends NoValue {}

function valueFor(name: string, { allowContained }: Entry, { values, contained }: RenderedFacts): string {
  const placeholder = placeholderOf(name);
  const known: PlaceholderValue | undefined = values.get(name);
  if (contained !== undefined && !allowContained && placeholder !== undefined && !isAboutContainer(placeholder)) {
    throw new NoValue(
      `{${name}} has no value for a caller in a container (${contained}): root in a container chooses it`,
    );
  }
  if (known === undefined) throw new Unread(`{${name}} has no value: it has not been read yet`);
  if ('why' in known) throw new NoValue(`{${name}} has no value: ${known.why}`);
  return known.value;
}
