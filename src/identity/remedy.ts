/**
 * What would give somebody an identity, as commands for an operator to consider.
 *
 * The caller may have chosen the facts that are known of it: in a container its name, labels, variables, uids and paths;
 * outside of one the path of its program (a mount namespace of its own is enough). So no command changes an existing entry
 * to facts of the caller, which would take the identity from the callers that the entry was for, and give it to whoever
 * asked. The caller gets an entry of its own, or none. For a container that entry asks for the digest of the image, which no
 * other image can have.
 */

import { ATTESTORS } from '../attest/catalog.ts';
import { isChosen, isOfRoot, isSecret, isWeak } from '../attest/selector-kinds.ts';
import { commandLine } from '../base/shell.ts';
import { isForContained } from '../registry/contained.ts';
import { ENTRY_FIELD_LIST } from '../registry/entry-fields.ts';
import type { Entry, NearMiss } from '../registry/types.ts';
import { formatSelector, type Selector } from '../spiffe/selector.ts';

/** For whom something is to be mended. */
export interface RemedyCaller {
  readonly selectors: readonly Selector[];
  /** It is in a container: then it has no entry that selects by nothing about the container, unless that says so. */
  readonly isContained: boolean;
}

/** A command with what to know before it is run; or no command, with the reason. */
export interface Remedy {
  readonly fix: string | undefined;
  readonly note: string | undefined;
}

/** Lets an entry go on that gave the identity to this caller until it expired. Nothing else of an entry is changed. */
export function mendEntry({ entry, lacks }: NearMiss, caller: RemedyCaller, expired: boolean): string | undefined {
  const isTheirs = lacks.length === 0 && (!caller.isContained || isForContained(entry));
  return isTheirs && expired
    ? commandLine(['sidekey', 'entry', 'update', entry.id, '--expires-at', 'never'])
    : undefined;
}

/** Before an entry goes on: who has its selectors may not be the one that it was made for. */
export function mendNote({ selectors }: RemedyCaller): string | undefined {
  return knownContainer(selectors)?.container.check;
}

/** How an entry that the caller lacks something of is changed, should it be out of date: by hand. */
export function lackNote({
  entry,
  lacks,
}: Pick<NearMiss, 'entry'> & { readonly lacks: readonly unknown[] }): string | undefined {
  if (lacks.length === 0) return undefined;
  return `no command changes entry ${entry.id} to what the caller has, since it may be for another one; if it is mistyped or out of date: sidekey entry update ${entry.id} --selector …, with all selectors that it should have`;
}

/** An entry that the caller lacks something of, and that gives the SPIFFE ID to others. */
export interface Model {
  readonly entry: Entry;
  readonly expired: boolean;
}

/**
 * A new entry that gives the SPIFFE ID to callers like this one, as the first of `models` does to others; none where
 * nothing tells the caller apart, or one of the models is that entry but for what it lacks otherwise.
 */
export function makeEntry(spiffeId: string, caller: RemedyCaller, models: readonly Model[]): Remedy {
  const known = tellingSelectors(caller);
  if ('why' in known) return { fix: undefined, note: known.why };
  const { selectors, note } = known;
  // The registry takes no second one that says the same of the same callers.
  if (models.some(({ entry }) => areSame(entry.selectors, selectors))) return { fix: undefined, note: undefined };
  const [like] = models;
  const words = ['sidekey', 'entry', 'create', '--spiffe-id', spiffeId, ...selectorFlags(selectors)];
  const fix = commandLine([...words, ...(like === undefined ? [] : otherFlags(like))]);
  return fix === undefined ? { fix, note: UNSHOWN } : { fix, note };
}

const UNSHOWN =
  'the command is not printed, since one of its values has characters that a terminal does not show as they are; sidekey explain --output json shows each value whole, with such characters escaped: see what it is for before you make an entry of it';

const UNKNOWN_CONTAINER =
  'it is in a container, where root can take on any uid and any path, and nothing is known of that container: sidekey serve --docker-socket finds out which one it is';

const ONLY_ROOT =
  'nothing that is known of it tells it from other processes of root, which an entry must: run it as a user of its own, or let Sidekey see its program (unix:path)';

const NOTHING_KNOWN = 'what is known of it makes no entry: ask about the process itself, with sidekey explain --pid';

/** What opens an entry to every container; in words, since the operator alone knows whether that may be. */
export function allowNote(
  { entry, lacks }: Pick<NearMiss, 'entry'> & { readonly lacks: readonly unknown[] },
  { isContained }: RemedyCaller,
): string | undefined {
  if (!isContained || lacks.length > 0 || isForContained(entry)) return undefined;
  return `sidekey entry update ${entry.id} --allow-contained would give it to every container whose processes take on these facts, which root in a container can`;
}

type Telling = { readonly selectors: readonly Selector[]; readonly note: string | undefined };

/** What says best who a caller is: its service or container with the image, else its user and program. */
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
  // A path or a hash alone could be any program's of that user.
  if (telling.every(isWeak)) return { why: NOTHING_KNOWN };
  // Alone it would give the identity to all processes of root, those in containers too.
  if (telling.every(isOfRoot)) return { why: ONLY_ROOT };
  return { selectors: telling, note: undefined };
}

/** The attestor that says which container the caller is in; undefined where none does. */
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

/** Whom an entry is for, and what grants nothing. */
const NOT_COPIED: ReadonlySet<keyof Entry> = new Set(['spiffeId', 'selectors', 'allowContained', 'parentId']);

/** All that an entry says but whom it is for. */
function otherFlags({ entry, expired }: Model): string[] {
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

/** Who declares an entry may undo what is changed in it. */
export function sourceNote({ source }: Entry): string | undefined {
  if (source === 'api') return undefined;
  const whose = source === 'file' ? 'the file of --entries' : `the source ${source}`;
  return `${whose} declares this entry: change it there, or the change is undone when it is taken over again`;
}

/** Who has it by that entry now. */
export function holdersNote(holders: number): string | undefined {
  if (holders === 0) return undefined;
  const who = holders === 1 ? 'a caller that is connected has' : `${holders} callers that are connected have`;
  return `${who} it by this entry`;
}
