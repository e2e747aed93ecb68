/** The commands that would give somebody an identity. They show no environment value: where one is needed there is none. */

import { shellQuote } from '../base/shell.ts';
import type { Entry, NearMiss } from '../registry/types.ts';
import { formatSelector, isSecret, type Selector } from '../spiffe/selector.ts';

/** Makes the entry one that a caller with these selectors matches; undefined where that would show a secret value, or ask for less. */
export function mendEntry(
  { entry, lacks }: NearMiss,
  caller: readonly Selector[],
  expired: boolean,
): string | undefined {
  const words = ['sidekey', 'entry', 'update', entry.id];
  if (lacks.length > 0) {
    const selectors = mendedSelectors({ entry, lacks }, caller);
    if (selectors === undefined) return undefined;
    words.push(...selectorFlags(selectors));
  }
  if (expired) words.push('--expires-at', 'never');
  return words.map(shellQuote).join(' ');
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
 * An entry that gives the SPIFFE ID to callers like this one, as `like` does to others; undefined where nothing tells the
 * caller apart.
 */
export function makeEntry(spiffeId: string, caller: readonly Selector[], like: Model | undefined): string | undefined {
  const selectors = tellingSelectors(caller);
  if (selectors.every(isOfRoot)) return undefined;
  const words = ['sidekey', 'entry', 'create', '--spiffe-id', spiffeId, ...selectorFlags(selectors)];
  return [...words, ...(like === undefined ? [] : otherFlags(like))].map(shellQuote).join(' ');
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
  const of = (type: string, ...kinds: readonly string[]) =>
    kinds.flatMap((kind) => caller.find((one) => one.type === type && one.value.startsWith(`${kind}:`)) ?? []);
  const service = of('docker', 'compose_project', 'compose_service');
  if (service.length === 2) return service;
  const container = of('docker', 'name');
  if (container.length === 1) return container;
  const unix = of('unix', 'uid', 'path');
  return unix.length > 0 ? unix : caller.filter((one) => !isSecret(one)).slice(0, 3);
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
