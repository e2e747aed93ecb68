/**
 * Proposes commands that would give a caller an identity, for an operator to consider.
 *
 * The caller may control its own facts: in a container its name, labels, variables, uids and paths; elsewhere the path
 * of its program (with a mount namespace). So no command changes an existing entry to match the caller's facts: that
 * would take the identity from its rightful callers. The commands only make a separate entry for the caller. For a
 * container this entry requires the image digest, which no other image can have.
 */

import { ATTESTORS, isChosen, isOfRoot, isSecret, isWeak } from '../attest/index.ts';
import { changeEntry, commandLine, type DeclaredAt, declaredPlace } from '../base/index.ts';
import { ENTRY_FIELD_LIST, type Entry, isForContained, type NearMiss } from '../registry/index.ts';
import { formatSelector, type Selector } from '../spiffe/index.ts';

/** The caller that the remedy is for. */
export interface RemedyCaller {
  readonly selectors: readonly Selector[];
  /** In a container: entries without a container selector do not apply, unless they allow it. */
  readonly isContained: boolean;
}

/** Where an entry is declared, as far as that is known. */
export type PlaceOf = (entry: Entry) => DeclaredAt;

/** A command and a warning to read before running it; or the reason why there is no command. */
export interface Remedy {
  readonly fix: string | undefined;
  readonly note: string | undefined;
}

/**
 * Removes the expiry of an entry that gave the identity to this caller until it expired. Changes nothing else. An entry that
 * something declares is changed there, so that has no command.
 */
export function mendEntry(
  { entry, lacks }: NearMiss,
  caller: RemedyCaller,
  expired: boolean,
  placeOf: PlaceOf,
): Remedy | undefined {
  const isTheirs = lacks.length === 0 && (!caller.isContained || isForContained(entry));
  if (!isTheirs || !expired) return undefined;
  const command = commandLine(['sidekey', 'entry', 'update', entry.id, '--expires-at', 'never']);
  const at = placeOf(entry);
  if (declaredPlace(at) === undefined) return { fix: command, note: undefined };
  return { fix: undefined, note: changeEntry(at, 'give it a later expires_at, or none', '', process.pid) };
}

/** A warning for {@link mendEntry}: another program may have the entry's selectors now. */
export function mendNote({ selectors }: RemedyCaller): string | undefined {
  return knownContainer(selectors)?.container.check;
}

/** How to change, by hand, an entry that is out of date and whose selectors the caller lacks. */
export function lackNote(
  { entry, lacks }: Pick<NearMiss, 'entry'> & { readonly lacks: readonly unknown[] },
  placeOf: PlaceOf,
): string | undefined {
  if (lacks.length === 0) return undefined;
  const update = `sidekey entry update ${entry.id} --selector …`;
  const change = changeEntry(placeOf(entry), 'give it all selectors that it should have', update, process.pid);
  return `no command is proposed that changes entry ${entry.id} to the caller's selectors, since it may be for another caller; if it is mistyped or out of date, ${change}`;
}

/** An entry that gives the SPIFFE ID to other callers, and whose selectors the caller lacks. */
export interface ModelEntry {
  readonly entry: Entry;
  readonly expired: boolean;
}

/**
 * A new entry that gives the SPIFFE ID to callers like this one, with the other fields of the first of `models`. There
 * is none if no fact distinguishes the caller, or if one of the models already has these selectors.
 */
export function makeEntry(spiffeId: string, caller: RemedyCaller, models: readonly ModelEntry[]): Remedy {
  const known = tellingSelectors(caller);
  if ('why' in known) return { fix: undefined, note: known.why };
  const { selectors, note } = known;
  // The registry refuses a second entry with the same SPIFFE ID and selectors.
  if (models.some(({ entry }) => areSame(entry.selectors, selectors))) return { fix: undefined, note: undefined };
  const [like] = models;
  const words = ['sidekey', 'entry', 'create', '--spiffe-id', spiffeId, ...selectorFlags(selectors)];
  const fix = commandLine([...words, ...(like === undefined ? [] : otherFlags(like))]);
  return fix === undefined ? { fix, note: UNSHOWN } : { fix, note };
}

const UNSHOWN =
  'the command is not printed, since one of its values has characters that a terminal cannot show; sidekey explain --output json shows all values with such characters escaped: check them before you make an entry';

const UNKNOWN_CONTAINER =
  'the caller is in an unknown container, where root can take on any uid and path: start sidekey serve with --docker-socket to identify the container';

const ONLY_ROOT =
  'no known fact distinguishes the caller from other processes of root: run it as a user of its own, or let Sidekey see its program (unix:path)';

const NOTHING_KNOWN =
  'the known facts do not suffice for an entry: ask about the process itself, with sidekey explain --pid';

/**
 * Describes how to allow an entry for all containers. Not a command, since only the operator can judge whether that is
 * safe.
 */
export function allowNote(
  { entry, lacks }: Pick<NearMiss, 'entry'> & { readonly lacks: readonly unknown[] },
  { isContained }: RemedyCaller,
  placeOf: PlaceOf,
): string | undefined {
  if (!isContained || lacks.length > 0 || isForContained(entry)) return undefined;
  const place = declaredPlace(placeOf(entry));
  const change =
    place === undefined ? `sidekey entry update ${entry.id} --allow-contained` : `allow_contained: true ${place}`;
  return `${change} would give the identity to every container whose processes have these facts, and root in a container can assume them`;
}

type Telling = { readonly selectors: readonly Selector[]; readonly note: string | undefined };

/** The selectors that identify a caller best: service or container with the image, else user and program. */
function tellingSelectors({ selectors, isContained }: RemedyCaller): Telling | { readonly why: string } {
  const known = knownContainer(selectors);
  if (known !== undefined) {
    const proposed = known.propose(selectors);
    const { check, unknown } = known.container;
    const isKnown = proposed !== undefined && !proposed.every(isChosen);
    return isKnown ? { selectors: proposed, note: check } : { why: unknown };
  }
  if (isContained) return { why: UNKNOWN_CONTAINER };
  const proposed = ATTESTORS.map((attestor) => attestor.propose?.(selectors) ?? []).find(({ length }) => length > 0);
  const telling = proposed ?? selectors.filter((one) => !isSecret(one)).slice(0, 3);
  // A path or a hash alone would match any program of that user.
  if (telling.every(isWeak)) return { why: NOTHING_KNOWN };
  // Alone it would match all processes of root, those in containers too.
  if (telling.every(isOfRoot)) return { why: ONLY_ROOT };
  return { selectors: telling, note: undefined };
}

/** The attestor that identifies the caller's container; undefined if none does. */
function knownContainer(selectors: readonly Selector[]) {
  for (const { type, container, propose } of ATTESTORS) {
    if (container === undefined || !selectors.some((one) => one.type === type)) continue;
    return { container, propose: propose ?? (() => undefined) };
  }
  return undefined;
}

function areSame(a: readonly Selector[], b: readonly Selector[]): boolean {
  const keys = new Set(a.map(formatSelector));
  return a.length === b.length && b.every((selector) => keys.has(formatSelector(selector)));
}

/** Fields that decide who matches, and fields that grant nothing. */
const NOT_COPIED: ReadonlySet<keyof Entry> = new Set(['spiffeId', 'selectors', 'allowContained', 'parentId']);

/** The flags for all fields of an entry except {@link NOT_COPIED}. */
function otherFlags({ entry, expired }: ModelEntry): string[] {
  return ENTRY_FIELD_LIST.flatMap(([key, { flag, absent }]) => {
    const value = entry[key];
    if (flag === undefined || NOT_COPIED.has(key) || value === absent) return [];
    const [name] = flag.option.split(' ') as [string];
    if (flag.kind === 'duration') return [name, `${value}s`];
    if (flag.kind === 'instant') return expired ? [] : [name, new Date(value as number).toISOString()];
    return [value].flat().flatMap((one) => [name, String(one)]);
  });
}

function selectorFlags(selectors: readonly Selector[]): string[] {
  return selectors.flatMap((selector) => ['--selector', formatSelector(selector)]);
}

/** A note for entries that a file or another source declares, since it may undo changes. */
export function sourceNote(entry: Entry, placeOf: PlaceOf): string | undefined {
  const place = declaredPlace(placeOf(entry));
  return place && `this entry is declared ${place}: change it there, or the next reload undoes the change`;
}

/** How many connected callers use the entry now. */
export function holdersNote(holders: number): string | undefined {
  if (holders === 0) return undefined;
  const callers = holders === 1 ? 'a connected caller has' : `${holders} connected callers have`;
  return `${callers} the identity through this entry`;
}
