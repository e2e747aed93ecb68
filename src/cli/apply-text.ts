/** The report of `sidekey apply` for people. */

import type { SourceChangesJson } from '../admin/index.ts';
import { printable } from '../base/index.ts';

interface Applied {
  readonly dryRun: boolean;
  readonly prune: boolean;
  readonly source: string;
}

/** Maximum number of listed entries or callers of each kind. */
const LISTED = 100;

type EntryJson = SourceChangesJson['created'][number];
type Caller = NonNullable<SourceChangesJson['effects']>['callers'][number];

export function changeLines(changes: SourceChangesJson, { dryRun, prune, source }: Applied): string {
  const { created, changed, deleted, kept, absent, differences, effects } = changes;
  const counts = `${created.length} created, ${changed.length} changed, ${deleted.length} deleted, ${kept.length} unchanged`;
  const lines = [`source ${source}: ${dryRun ? 'would be ' : ''}${counts}`];
  lines.push(...listed(created, (entry) => [`+ ${entry.spiffe_id}  ${selectorsOf(entry)}`]));
  lines.push(
    ...listed(differences, ({ id, spiffe_id: spiffeId, fields }) => [
      `~ ${spiffeId} (${id})`,
      ...fields.map(({ name, before, after }) => `    ${name}: ${shown(before)} -> ${shown(after)}`),
    ]),
  );
  lines.push(...listed(deleted, (entry) => [`- ${entry.spiffe_id} (${entry.id})`]));
  if (absent.length > 0) {
    const [what, them] = absent.length === 1 ? ['1 entry', 'it'] : [`${absent.length} entries`, 'them'];
    const remedy = prune ? '' : `; --prune deletes ${them}`;
    lines.push(`not in the files, but kept: ${what} of the source ${source}${remedy}`);
    lines.push(...listed(absent, (entry) => [`  ${entry.spiffe_id} (${entry.id})`]));
  }
  if (effects !== undefined) lines.push(...effectLines(effects));
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function effectLines({ callers, more, unread }: NonNullable<SourceChangesJson['effects']>): string[] {
  const lines =
    callers.length === 0 ? ['no running caller would gain, lose or change an identity'] : ['running callers:'];
  lines.push(...listed(callers, callerLines));
  if (more > 0) lines.push(`  and ${more} more`);
  if (unread > 0)
    lines.push(`  facts of ${unread} processes could not be read: whether they are affected is not known`);
  return lines;
}

function callerLines({ pid, owner, gained, lost, changed, may_gain: mayGain, default: byDefault }: Caller): string[] {
  const what = Object.entries({
    gains: gained,
    loses: lost,
    'gets a new certificate for': changed,
    'may gain': mayGain,
  });
  return [
    `  pid ${pid} (${owner})`,
    ...what.flatMap(([verb, ids]) => listed(ids, (id) => [`    ${verb} ${id}`])),
    ...(byDefault === null ? [] : [`    default: ${byDefault.before ?? 'none'} -> ${byDefault.after ?? 'none'}`]),
  ];
}

function listed<T>(all: readonly T[], linesOf: (one: T) => string[]): string[] {
  const lines = all.slice(0, LISTED).flatMap(linesOf);
  if (all.length > LISTED) lines.push(`  and ${all.length - LISTED} more`);
  return lines;
}

function selectorsOf({ selectors }: EntryJson): string {
  return selectors.map(({ type, value }) => `${type}:${value}`).join(' ');
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}
