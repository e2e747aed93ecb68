/** The commands that would give somebody an identity. They show no environment value: where one is needed there is none. */

import { shellQuote } from '../base/shell.ts';
import type { Entry, NearMiss } from '../registry/types.ts';
import { formatSelector, redactSelector, type Selector } from '../spiffe/selector.ts';

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
 * kind: to leave out what an entry asks for would give the identity to others as well.
 */
function mendedSelectors({ entry, lacks }: NearMiss, caller: readonly Selector[]): Selector[] | undefined {
  const instead = new Map(lacks.map(({ selector, has, alike }) => [formatSelector(selector), alike ?? has[0]]));
  const mended = new Map<string, Selector>();
  for (const selector of entry.selectors) {
    const key = formatSelector(selector);
    const kept = instead.has(key) ? instead.get(key) : selector;
    if (kept === undefined) return undefined;
    mended.set(formatSelector(kept), kept);
  }
  const selectors = strongEnough([...mended.values()], caller);
  return selectors.some(isSecret) ? undefined : selectors;
}

/** A path or a hash alone could be any program's of that user. */
function strongEnough(selectors: readonly Selector[], caller: readonly Selector[]): Selector[] {
  const isWeak = selectors.every(({ value }) => value.startsWith('path:') || value.startsWith('sha256:'));
  return isWeak ? [...caller.filter(({ value }) => value.startsWith('uid:')), ...selectors] : [...selectors];
}

/** An entry that gives the SPIFFE ID to callers like this one; undefined where nothing tells the caller apart. */
export function makeEntry(spiffeId: string, caller: readonly Selector[]): string | undefined {
  const selectors = tellingSelectors(caller);
  if (selectors.length === 0) return undefined;
  return ['sidekey', 'entry', 'create', '--spiffe-id', spiffeId, ...selectorFlags(selectors)].map(shellQuote).join(' ');
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

/** True if it holds a value that is never shown. */
function isSecret(selector: Selector): boolean {
  return redactSelector(selector) !== formatSelector(selector);
}

/** Who declares an entry may undo what is changed in it. */
export function sourceNote({ source }: Entry): string | undefined {
  if (source === 'api') return undefined;
  const whose = source === 'file' ? 'the file of --entries' : `the source ${source}`;
  return `${whose} declares this entry: change it there, or the change is undone when it is taken over again`;
}
