/** The commands that would give somebody an identity. They show no environment value: where one is needed there is none. */

import { shellQuote } from '../base/shell.ts';
import { isForContained, tellsContainers } from '../registry/contained.ts';
import type { Entry, NearMiss } from '../registry/types.ts';
import { formatSelector, isSecret, type Selector } from '../spiffe/selector.ts';

/** For whom something is to be mended. */
export interface RemedyCaller {
  readonly selectors: readonly Selector[];
  /** It is in a container: then it has no entry that selects by nothing about the container, unless that says so. */
  readonly isContained: boolean;
}

const ALLOW = '--allow-contained';

/**
 * The commands that each make the entry one that this caller has, the best first; none where that would show a secret
 * value, or ask for less.
 */
export function mendEntry({ entry, lacks }: NearMiss, caller: RemedyCaller, expired: boolean): string[] {
  const selectors = lacks.length === 0 ? entry.selectors : mendedSelectors({ entry, lacks }, caller.selectors);
  if (selectors === undefined) return [];
  const mended = lacks.length === 0 ? [] : selectorFlags(selectors);
  const ways: string[][] = [];
  if (!caller.isContained || isForContained({ selectors, allowContained: entry.allowContained })) ways.push(mended);
  else {
    const container = containerSelectors(caller.selectors);
    if (container.length > 0) ways.push(selectorFlags([...selectors, ...container]));
    ways.push([...mended, ALLOW]);
  }
  const end = expired ? ['--expires-at', 'never'] : [];
  return ways.map((way) => ['sidekey', 'entry', 'update', entry.id, ...way, ...end].map(shellQuote).join(' '));
}

/** What to know before a command that lets in callers in containers by facts that they may take on. */
export function containedNote(fixes: readonly string[], { selectors }: RemedyCaller): string | undefined {
  if (!fixes.some((fix) => fix.split(' ').includes(ALLOW))) return undefined;
  const risk = `${ALLOW} gives it to every container whose processes take on these facts, which root in a container can`;
  return containerSelectors(selectors).length > 0
    ? risk
    : `${risk}; better give the entry a container selector: sidekey serve --docker-socket finds out which container it is`;
}

/**
 * What the caller has stays; what it lacks becomes what it has of the same kind. Undefined where it has nothing of that
 * kind that the entry does not ask for already: to leave out what an entry asks for would give the identity to others as well.
 */
function mendedSelectors({ entry, lacks }: NearMiss, caller: readonly Selector[]): readonly Selector[] | undefined {
  const lacked = new Map(lacks.map((lack) => [formatSelector(lack.selector), lack]));
  const taken = new Set(entry.selectors.map(formatSelector));
  const mended = new Map<string, Selector>();
  for (const selector of entry.selectors) {
    const lack = lacked.get(formatSelector(selector));
    const instead = lack && [lack.alike, ...lack.has].find((one) => one && !taken.has(formatSelector(one)));
    const kept = lack === undefined ? selector : instead;
    if (kept === undefined) return undefined;
    const key = formatSelector(kept);
    taken.add(key);
    mended.set(key, kept);
  }
  const selectors = strongEnough([...mended.values()], caller);
  return selectors?.some(isSecret) === true ? undefined : selectors;
}

/** Undefined where nothing makes them strong enough. */
function strongEnough(selectors: readonly Selector[], caller: readonly Selector[]): readonly Selector[] | undefined {
  // A path or a hash alone could be any program's of that user.
  if (selectors.every(isOfProgram)) return [...caller.filter(isUid), ...selectors];
  if (!selectors.every(isOfRoot)) return selectors;
  const programs = caller.filter(isOfProgram).slice(0, 1);
  return programs.length === 0 ? undefined : [...selectors, ...programs];
}

const isUid = ({ type, value }: Selector) => type === 'unix' && value.startsWith('uid:');
const isOfProgram = ({ type, value }: Selector) => type === 'unix' && /^(path|sha256):/.test(value);
/** What every process of root has: alone it would give the identity to all of them, those in containers too. */
const isOfRoot = ({ type, value }: Selector) =>
  type === 'unix' && /^((uid|gid|supplementary_gid):0|(user|group|supplementary_group):root)$/.test(value);

/** An entry that the caller lacks something of, and that gives the SPIFFE ID to others. */
export interface Model {
  readonly entry: Entry;
  readonly expired: boolean;
}

/**
 * An entry that gives the SPIFFE ID to callers like this one, as the first of `models` does to others; undefined where nothing
 * tells the caller apart, or one of the models is that entry but for what it lacks otherwise.
 */
export function makeEntry(spiffeId: string, caller: RemedyCaller, models: readonly Model[]): string | undefined {
  const selectors = tellingSelectors(caller.selectors);
  if (selectors.every(isOfRoot)) return undefined;
  // The registry takes no second one that says the same of the same callers.
  if (models.some(({ entry }) => areSame(entry.selectors, selectors))) return undefined;
  const [like] = models;
  const words = ['sidekey', 'entry', 'create', '--spiffe-id', spiffeId, ...selectorFlags(selectors)];
  if (caller.isContained && !tellsContainers(selectors)) words.push(ALLOW);
  return [...words, ...(like === undefined ? [] : otherFlags(like))].map(shellQuote).join(' ');
}

function areSame(a: readonly Selector[], b: readonly Selector[]): boolean {
  const keys = new Set(a.map(formatSelector));
  return a.length === b.length && b.every((selector) => keys.has(formatSelector(selector)));
}

/** Why {@link makeEntry} makes none. */
export function makingNote(caller: readonly Selector[]): string | undefined {
  if (caller.some(isOfRoot)) {
    return 'nothing that is known of it tells it from other processes of root, which an entry must: run it as a user of its own, or let Sidekey see its program (unix:path)';
  }
  return caller.some(isSecret)
    ? 'what is known of it is not shown: an entry for it takes its value from you'
    : undefined;
}

/** All that an entry says but whom it is for. */
function otherFlags({ entry, expired }: Model): string[] {
  const { x509SvidTtl, jwtSvidTtl, dnsNames, federatesWith, hint, expiresAt } = entry;
  return [
    ...(x509SvidTtl === 0 ? [] : ['--x509-svid-ttl', `${x509SvidTtl}s`]),
    ...(jwtSvidTtl === 0 ? [] : ['--jwt-svid-ttl', `${jwtSvidTtl}s`]),
    ...dnsNames.flatMap((name) => ['--dns', name]),
    ...federatesWith.flatMap((trustDomain) => ['--federates-with', trustDomain]),
    ...(hint === '' ? [] : ['--hint', hint]),
    ...(expiresAt === 0 || expired ? [] : ['--expires-at', new Date(expiresAt).toISOString()]),
  ];
}

/** What says best who a caller is: its service or container, else its user and program. */
function tellingSelectors(caller: readonly Selector[]): Selector[] {
  const container = containerSelectors(caller);
  if (container.length > 0) return container;
  const unix = ofKinds(caller, 'unix', 'uid', 'path');
  return unix.length > 0 ? unix : caller.filter((one) => !isSecret(one)).slice(0, 3);
}

/** What says best which container a caller is in; empty where that is not known. */
function containerSelectors(caller: readonly Selector[]): Selector[] {
  const service = ofKinds(caller, 'docker', 'compose_project', 'compose_service');
  return service.length === 2 ? service : ofKinds(caller, 'docker', 'name');
}

/** Of each kind the first. */
function ofKinds(caller: readonly Selector[], type: string, ...kinds: readonly string[]): Selector[] {
  return kinds.flatMap((kind) => caller.find((one) => one.type === type && one.value.startsWith(`${kind}:`)) ?? []);
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

/** Who has it by that entry now loses it by the change. */
export function holdersNote(holders: number): string | undefined {
  if (holders === 0) return undefined;
  const who = holders === 1 ? 'a caller that is connected has' : `${holders} callers that are connected have`;
  return `${who} it by this entry, and would lose it by that change`;
}
