/**
 * Explains which identities a caller with these facts gets and why it does not get others, with commands that change
 * that.
 */

import { ATTESTORS, type PlaceholderValue, redactSelector, valueAmong } from '../attest/index.ts';
import { differInOnePlace, nearest } from '../base/index.ts';
import {
  type Entry,
  isExpired,
  isForContained,
  type NearMiss,
  type RegistryView,
  templateOf,
} from '../registry/index.ts';
import {
  EVERY_DOMAIN,
  formatSelector,
  isLikeTemplate,
  isNegated,
  type Selector,
  type SpiffeId,
  type TrustDomain,
  trustDomainId,
  trustDomainOf,
} from '../spiffe/index.ts';
import { split } from './classes.ts';
import { defaultEntry } from './default-entry.ts';
import { type Grant, isGrant, renderedGrant } from './grant.ts';
import { explainHeld, type HeldCaller, type HeldReason } from './held.ts';
import type { Identities } from './identities.ts';
import {
  allowNote,
  holdersNote,
  lackNote,
  makeEntry,
  mendEntry,
  mendNote,
  type PlaceOf,
  type Remedy,
  type RemedyCaller,
  sourceNote,
} from './remedy.ts';
import type { RenderedFacts, Unrendered } from './renderings.ts';

/**
 * A selector that the caller lacks, and what it has instead, as `type:value`; without values of environment selectors.
 */
export interface ExplainedLack {
  readonly selector: string;
  readonly has: readonly string[];
  /** The value or program that was probably meant. */
  readonly alike: string | undefined;
}

/** How the template of an entry whose selectors the caller has is rendered for it. */
export interface ExplainedTemplate {
  readonly entry: Entry;
  /** The result; undefined if it is not rendered. */
  readonly spiffeId: SpiffeId | undefined;
  /** Why it is not rendered; undefined if it is. */
  readonly why: string | undefined;
  /** The placeholders in their order. */
  readonly values: readonly { readonly placeholder: string; readonly value: PlaceholderValue | undefined }[];
}

export interface ExplainedMiss {
  readonly entry: Entry;
  readonly lacks: readonly ExplainedLack[];
  readonly expired: boolean;
  /** The caller is in a container, and the entry is not for callers in containers. */
  readonly withheld: boolean;
  /** The command that makes the entry match this caller again; remedy.ts says when there is one. */
  readonly fix: string | undefined;
  /**
   * How to make it match again by hand, if something declares the entry, so that a command's change would be undone.
   */
  readonly mend: string | undefined;
  /** A warning to read before running it. */
  readonly note: string | undefined;
}

export interface Explanation {
  /** The entries that the caller matches, oldest first. */
  readonly entries: readonly Grant[];
  /** The entry for the SDS name `default`. */
  readonly byDefault: Grant | undefined;
  /** The entries with templates whose selectors the caller has, oldest first. */
  readonly templates: readonly ExplainedTemplate[];
  /** Names of the bundles that the caller gets. */
  readonly bundles: readonly string[];
  /** Trust domains that its entries federate with, but whose bundles are not set. */
  readonly unset: readonly TrustDomain[];
  /** About the SPIFFE ID of the question. */
  readonly asked: AskedId | undefined;
  /** Nearest first. If a SPIFFE ID was given, only entries of that ID or of the one that was probably meant. */
  readonly near: readonly ExplainedMiss[];
  /** Commands that solve the problem, best first; empty if there is no problem. */
  readonly fixes: readonly string[];
  /** A warning to read before running one of them, or the reason why there is none. */
  readonly note: string | undefined;
}

export interface AskedId {
  readonly spiffeId: SpiffeId;
  readonly given: boolean;
  readonly reason: HeldReason | undefined;
  readonly detail: string;
  /** A SPIFFE ID of some entry that this one is probably a typing error of. */
  readonly alike: string | undefined;
}

export interface ExplanationParts {
  readonly registry: RegistryView;
  readonly identities: Pick<Identities, 'bundle' | 'federated' | 'holders' | 'render'>;
}

export interface ExplanationQuery {
  readonly spiffeId: SpiffeId | undefined;
  readonly limit: number;
  /** An attestor failed: the caller gets nothing, even if other attestors succeeded. */
  readonly failed: boolean;
  /** Why the caller counts as in a container; undefined if it does not. */
  readonly contained?: string | undefined;
  /** The values of placeholders; undefined: they are taken from the selectors, as if no image had the labels. */
  readonly values?: ReadonlyMap<string, PlaceholderValue> | undefined;
  /** The path of the program's file before it was deleted or replaced. */
  readonly replaced: string | undefined;
  /** Undefined: where entries are declared is not known, only what made them. */
  readonly placeOf?: PlaceOf;
}

/** @param given the caller's facts, and the negative selectors that it is known to satisfy */
export function explain(
  given: readonly Selector[],
  query: ExplanationQuery,
  { registry, identities }: ExplanationParts,
  now: number,
): Explanation {
  const keys = new Set(given.map(formatSelector));
  const selectors = given.filter((selector) => !isNegated(selector));
  const { contained, placeOf = ({ source }) => ({ source }) } = query;
  const isContained = contained !== undefined;
  const [matching, withheld] = split(query.failed ? [] : registry.match(keys), { contained });
  const facts = { values: query.values ?? valuesAmong(selectors, registry), contained };
  const { entries, unrendered, templates } = renderEach(matching, facts, identities);
  const caller = { entries, withheld, unrendered, contained, selectors: keys };
  const asked = query.spiffeId === undefined ? undefined : explainAsked(query.spiffeId, caller, registry, now);
  const spiffeId = asked?.alike ?? asked?.spiffeId;
  const misses = registry.nearMisses(keys, { spiffeId, limit: query.limit, contained: isContained });
  // Without a SPIFFE ID that the caller lacks, a command could only give it another caller's identity.
  const isLacking = asked?.given === false;
  const gets = new Set(entries.map(({ spiffeId: own }) => own));
  const givers = asked === undefined ? [] : registry.couldRender(asked.spiffeId);
  const to = { caller: { selectors, isContained }, isLacking, placeOf, template: givers[0], gets };
  const near = misses.map((miss) => explainMiss(miss, to, identities, now));
  const own = identities.bundle(caller);
  const federated = identities.federated(caller, 'any').map(({ trustDomain }) => trustDomain);
  const unset = [...new Set(entries.flatMap(({ federatesWith }) => federatesWith))].filter(
    (trustDomain) => trustDomain !== EVERY_DOMAIN && !federated.includes(trustDomain),
  );
  return {
    entries,
    byDefault: defaultEntry(entries),
    templates,
    bundles: [...('reason' in own ? [] : [own.trustDomain]), ...federated].map(trustDomainId),
    unset,
    asked,
    near,
    ...(query.failed
      ? { fixes: [], note: FAILING }
      : withReplaced(remedies(asked, near, to, unset), query.replaced, asked, misses)),
  };
}

function renderEach(
  matching: readonly Entry[],
  facts: RenderedFacts,
  identities: Pick<Identities, 'render'>,
): { entries: Grant[]; unrendered: Unrendered[]; templates: ExplainedTemplate[] } {
  const [entries, unrendered, templates]: [Grant[], Unrendered[], ExplainedTemplate[]] = [[], [], []];
  for (const entry of matching) {
    if (isGrant(entry)) {
      entries.push(entry);
      continue;
    }
    const found = identities.render(entry, facts);
    const values = templateOf(entry)!.placeholders.map((placeholder) => ({
      placeholder,
      value: facts.values.get(placeholder),
    }));
    if ('why' in found) {
      unrendered.push(found);
      templates.push({ entry, spiffeId: undefined, why: found.why, values });
    } else {
      entries.push(renderedGrant(entry, found.spiffeId));
      templates.push({ entry, spiffeId: found.spiffeId, why: undefined, values });
    }
  }
  return { entries, unrendered, templates };
}

/** The values that these facts give all placeholders of entries. */
function valuesAmong(selectors: readonly Selector[], registry: RegistryView): Map<string, PlaceholderValue> {
  const placeholders = ATTESTORS.flatMap(({ type }) => registry.placeholders(type));
  return new Map(placeholders.map((placeholder) => [placeholder.name, valueAmong(selectors, placeholder)]));
}

/** What remedies depend on. */
interface RemedyFor {
  /** The first entry whose template could render the SPIFFE ID of the question. */
  readonly template: Entry | undefined;
  readonly caller: RemedyCaller;
  readonly isLacking: boolean;
  readonly placeOf: PlaceOf;
  /** The SPIFFE IDs that the caller gets. */
  readonly gets: ReadonlySet<SpiffeId>;
}

function explainMiss(
  miss: NearMiss,
  { caller, isLacking, placeOf }: RemedyFor,
  identities: ExplanationParts['identities'],
  now: number,
): ExplainedMiss {
  const expired = isExpired(miss.entry, now);
  const holders = expired ? 0 : identities.holders(miss.entry);
  const mend: Remedy | undefined = isLacking ? mendEntry(miss, caller, expired, placeOf) : undefined;
  const own = isLacking ? [mend?.note ?? sourceNote(miss.entry, placeOf), allowNote(miss, caller, placeOf)] : [];
  const notes = [holdersNote(holders), ...own];
  return {
    entry: miss.entry,
    lacks: miss.lacks.map(({ selector, has, alike }) => ({
      selector: redactSelector(selector),
      has: has.map(redactSelector),
      alike: alike && redactSelector(alike),
    })),
    expired,
    withheld: caller.isContained && !isForContained(miss.entry),
    fix: mend?.fix,
    mend: mend?.note,
    note: joined(notes),
  };
}

function explainAsked(spiffeId: SpiffeId, caller: HeldCaller, registry: RegistryView, now: number): AskedId {
  const entry = caller.entries.find((one) => one.spiffeId === spiffeId);
  if (entry !== undefined) {
    return { spiffeId, given: true, reason: undefined, detail: `entry ${entry.id} gives it`, alike: undefined };
  }
  const givers = [...registry.bySpiffeId(spiffeId), ...registry.couldRender(spiffeId)];
  const { reason, detail } = explainHeld(spiffeId, givers, caller, registry.trustDomain, now);
  return { spiffeId, given: false, reason, detail, alike: givers.length > 0 ? undefined : alikeId(spiffeId, registry) };
}

/** Only an ID with a single typing error counts as similar. */
function alikeId(spiffeId: string, registry: RegistryView): string | undefined {
  const alike: string[] = [];
  for (const other of registry.spiffeIds()) {
    if (differInOnePlace(spiffeId, other) && !isLikeTemplate(other)) alike.push(other);
  }
  return nearest(spiffeId, alike);
}

const FAILING = 'an attestor fails, so no entry helps: sidekey doctor shows what to do';

type Remedies = Pick<Explanation, 'fixes' | 'note'>;

/** Adds the replaced program. If an entry asks for the lost path, the program must be restarted; no entry helps. */
function withReplaced(
  { fixes, note }: Remedies,
  path: string | undefined,
  asked: AskedId | undefined,
  misses: readonly NearMiss[],
): Remedies {
  if (path === undefined || asked?.given !== false) return { fixes, note };
  const lost = `unix:path:${path}`;
  const isLost = misses.some(({ lacks }) => lacks.some(({ selector }) => formatSelector(selector) === lost));
  const replaced = `${path} was replaced or deleted since this process started: restart the program, which has no unix:path on new connections until then (one that was attested before keeps it)`;
  return isLost || note === undefined
    ? { fixes: isLost ? [] : fixes, note: replaced }
    : { fixes, note: `${replaced}; ${note}` };
}

function meantNote({ alike }: AskedId): string | undefined {
  if (alike === undefined) return undefined;
  return `if ${alike} is meant, correct the requested name: an entry would be for the misspelt one`;
}

function foreignNote({ spiffeId, alike }: AskedId): string {
  const meant = alike === undefined ? '' : `if ${alike} is meant, correct the requested name; else `;
  return `${meant}ask the Sidekey, or other SPIFFE server, of ${trustDomainOf(spiffeId)} for it: no entry here can give it`;
}

/** An entry that names the SPIFFE ID would take it from the callers for which the template renders it. */
function templateNote({ id, spiffeId }: Entry): string {
  return `the template of entry ${id}, ${spiffeId}, can render this SPIFFE ID: give the caller the facts that it needs, or correct that entry; no command is proposed, because a template never renders an ID that another entry names`;
}

function remedies(
  asked: AskedId | undefined,
  near: readonly ExplainedMiss[],
  { caller, placeOf, template, gets }: RemedyFor,
  unset: readonly TrustDomain[],
): Remedies {
  const others = unset.flatMap((trustDomain) => [
    `sidekey bundle set ${trustDomain} --file BUNDLE`,
    `sidekey federation create ${trustDomain} --bundle-endpoint-url URL --bundle-endpoint-profile PROFILE`,
  ]);
  if (asked === undefined || asked.given) return { fixes: others, note: undefined };
  // An entry for it would be refused.
  if (asked.reason === 'foreign-id') return { fixes: others, note: foreignNote(asked) };
  // The name is misspelt: an entry for it would give the caller a second identity, which its peers do not expect.
  if (asked.alike !== undefined && gets.has(asked.alike as SpiffeId)) {
    return { fixes: others, note: `the caller gets ${asked.alike}: correct the requested name` };
  }
  // Entries of a similar SPIFFE ID do not give this one.
  const own = near.filter(({ entry }) => entry.spiffeId === asked.spiffeId);
  const mend = own.find(({ fix }) => fix !== undefined)?.fix;
  const byHand = own.find(({ mend }) => mend !== undefined)?.mend;
  const none: Remedy = { fix: undefined, note: template && templateNote(template) };
  const make = byHand === undefined && template === undefined ? makeEntry(asked.spiffeId, caller, own) : none;
  const allow = own.map((miss) => allowNote(miss, caller, placeOf)).find((note) => note !== undefined);
  const [closest] = own;
  const note = mend !== undefined && make.fix === undefined ? mendNote(caller) : make.note;
  const notes = [byHand, note, make.fix && meantNote(asked), allow, closest && lackNote(closest, placeOf)];
  return { fixes: [mend, make.fix, ...others].filter((fix) => fix !== undefined), note: joined(notes) };
}

function joined(notes: readonly (string | undefined)[]): string | undefined {
  return notes.filter((note) => note !== undefined).join('; ') || undefined;
}
