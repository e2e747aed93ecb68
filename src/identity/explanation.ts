/** Why a caller with these facts has the identities that it has, and not others; and what would change that. */

import { redactSelector } from '../attest/selector-kinds.ts';
import { differInOnePlace, nearest } from '../base/nearest.ts';
import { isForContained } from '../registry/contained.ts';
import { isExpired } from '../registry/entry.ts';
import type { Entry, NearMiss, Registry } from '../registry/types.ts';
import { type SpiffeId, type TrustDomain, trustDomainId } from '../spiffe/id.ts';
import { formatSelector, type Selector } from '../spiffe/selector.ts';
import { split } from './classes.ts';
import { defaultEntry } from './default-entry.ts';
import { explainHeld, type HeldCaller, type HeldReason } from './held.ts';
import type { Identities } from './identities.ts';
import {
  allowNote,
  holdersNote,
  lackNote,
  makeEntry,
  mendEntry,
  mendNote,
  type RemedyCaller,
  sourceNote,
} from './remedy.ts';

/** What a caller lacks, and has instead. All as `type:value`, without values of environment selectors. */
export interface ExplainedLack {
  readonly selector: string;
  readonly has: readonly string[];
  /** What was likely meant, or likely run. */
  readonly alike: string | undefined;
}

export interface ExplainedMiss {
  readonly entry: Entry;
  readonly lacks: readonly ExplainedLack[];
  readonly expired: boolean;
  /** The caller is in a container, and the entry is not for such. */
  readonly withheld: boolean;
  /** The command that changes this entry so that the caller has it again; see remedy.ts for when there is one. */
  readonly fix: string | undefined;
  /** What to know before it is run. */
  readonly note: string | undefined;
}

export interface Explanation {
  /** The entries that the caller matches, oldest first. */
  readonly entries: readonly Entry[];
  /** The one that it gets by the name `default`. */
  readonly byDefault: Entry | undefined;
  /** Names of the bundles that it gets. */
  readonly bundles: readonly string[];
  /** Trust domains whose bundles it would get if somebody set them. */
  readonly unset: readonly TrustDomain[];
  /** About the SPIFFE ID that was asked for. */
  readonly asked: Asked | undefined;
  /** Nearest first; of the SPIFFE ID, where one was asked for, or the one that was likely meant. */
  readonly near: readonly ExplainedMiss[];
  /** The commands that mend it, the best first; none where nothing is amiss. */
  readonly fixes: readonly string[];
  /** What to know before one of them is run, or why there is none that one would expect. */
  readonly note: string | undefined;
}

export interface Asked {
  readonly spiffeId: SpiffeId;
  readonly given: boolean;
  readonly reason: HeldReason | undefined;
  readonly detail: string;
  /** A SPIFFE ID that some entry gives and that this one is likely mistyped from. */
  readonly alike: string | undefined;
}

export interface ExplanationParts {
  readonly registry: Registry;
  readonly identities: Pick<Identities, 'bundle' | 'federated' | 'holders'>;
}

export interface ExplanationQuery {
  readonly spiffeId: SpiffeId | undefined;
  readonly limit: number;
  /** An attestor failed: the caller gets nothing, whatever the others have found. */
  readonly failed: boolean;
  /** Why the caller counts as contained; undefined where it does not. */
  readonly contained?: string | undefined;
  /** Where the program's file was before it was deleted or replaced. */
  readonly replaced: string | undefined;
}

export function explain(
  selectors: readonly Selector[],
  query: ExplanationQuery,
  { registry, identities }: ExplanationParts,
  now: number,
): Explanation {
  const keys = new Set(selectors.map(formatSelector));
  const { contained } = query;
  const isContained = contained !== undefined;
  const [entries, withheld] = split(query.failed ? [] : registry.match(keys), { contained });
  const caller = { entries, withheld, contained, selectors: keys };
  const asked = query.spiffeId === undefined ? undefined : explainAsked(query.spiffeId, caller, registry, now);
  const spiffeId = asked?.alike ?? asked?.spiffeId;
  const misses = registry.nearMisses(keys, { spiffeId, limit: query.limit, contained: isContained });
  // Without a SPIFFE ID that somebody lacks, a command could only give the caller the identity of another one.
  const isLacking = asked?.given === false;
  const near = misses.map((miss) => explainMiss(miss, { selectors, isContained }, isLacking, identities, now));
  const own = identities.bundle(caller);
  const federated = identities.federated(caller).map(({ trustDomain }) => trustDomain);
  const unset = [...new Set(entries.flatMap(({ federatesWith }) => federatesWith))].filter(
    (trustDomain) => !federated.includes(trustDomain),
  );
  return {
    entries,
    byDefault: defaultEntry(entries),
    bundles: [...('reason' in own ? [] : [own.trustDomain]), ...federated].map(trustDomainId),
    unset,
    asked,
    near,
    ...(query.failed
      ? { fixes: [], note: FAILING }
      : withReplaced(remedies(asked, near, { selectors, isContained }, unset), query.replaced, asked, misses)),
  };
}

function explainMiss(
  miss: NearMiss,
  caller: RemedyCaller,
  isLacking: boolean,
  identities: ExplanationParts['identities'],
  now: number,
): ExplainedMiss {
  const expired = isExpired(miss.entry, now);
  const holders = expired ? 0 : identities.holders(miss.entry);
  const notes = [holdersNote(holders), ...(isLacking ? [sourceNote(miss.entry), allowNote(miss, caller)] : [])];
  return {
    entry: miss.entry,
    lacks: miss.lacks.map(({ selector, has, alike }) => ({
      selector: redactSelector(selector),
      has: has.map(redactSelector),
      alike: alike && redactSelector(alike),
    })),
    expired,
    withheld: caller.isContained && !isForContained(miss.entry),
    fix: isLacking ? mendEntry(miss, caller, expired) : undefined,
    note: joined(notes),
  };
}

function explainAsked(
  spiffeId: SpiffeId,
  caller: HeldCaller & { readonly entries: readonly Entry[] },
  registry: Registry,
  now: number,
): Asked {
  const entry = caller.entries.find((one) => one.spiffeId === spiffeId);
  if (entry !== undefined) {
    return { spiffeId, given: true, reason: undefined, detail: `entry ${entry.id} gives it`, alike: undefined };
  }
  const givers = registry.bySpiffeId(spiffeId);
  const { reason, detail } = explainHeld(spiffeId, givers, caller, registry.trustDomain, now);
  return { spiffeId, given: false, reason, detail, alike: givers.length > 0 ? undefined : alikeId(spiffeId, registry) };
}

/** A mistyped name has one fault most often; only then is it told which. */
function alikeId(spiffeId: string, registry: Registry): string | undefined {
  const alike: string[] = [];
  for (const other of registry.spiffeIds()) if (differInOnePlace(spiffeId, other)) alike.push(other);
  return nearest(spiffeId, alike);
}

const FAILING = 'an attestor fails, which no entry mends: sidekey doctor says what does';

type Remedies = Pick<Explanation, 'fixes' | 'note'>;

/** Where an entry asks for the very path that was lost, no entry mends it: the program is to be started anew. */
function withReplaced(
  { fixes, note }: Remedies,
  path: string | undefined,
  asked: Asked | undefined,
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

function meantNote({ alike }: Asked): string | undefined {
  if (alike === undefined) return undefined;
  return `if ${alike} is meant, have that asked for: an entry would be for the other name`;
}

function remedies(
  asked: Asked | undefined,
  near: readonly ExplainedMiss[],
  caller: RemedyCaller,
  unset: readonly TrustDomain[],
): Remedies {
  const others = unset.map((trustDomain) => `sidekey bundle set ${trustDomain} --file BUNDLE`);
  if (asked === undefined || asked.given) return { fixes: others, note: undefined };
  // Those of another SPIFFE ID don't give this one.
  const own = near.filter(({ entry }) => entry.spiffeId === asked.spiffeId);
  const mend = own.find(({ fix }) => fix !== undefined)?.fix;
  const make = makeEntry(asked.spiffeId, caller, own);
  const allow = own.map((miss) => allowNote(miss, caller)).find((note) => note !== undefined);
  const [closest] = own;
  const note = mend !== undefined && make.fix === undefined ? mendNote(caller) : make.note;
  const notes = [note, make.fix && meantNote(asked), allow, closest && lackNote(closest)];
  return { fixes: [mend, make.fix, ...others].filter((fix) => fix !== undefined), note: joined(notes) };
}

function joined(notes: readonly (string | undefined)[]): string | undefined {
  return notes.filter((note) => note !== undefined).join('; ') || undefined;
}
