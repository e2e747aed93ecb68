/** `sidekey entry …`: the registration entries. */

import type { Command } from 'commander';
import type { EntryJson } from '../admin/client.ts';
import { formatDuration } from '../base/duration.ts';
import type { Problem } from '../base/errors.ts';
import { ENTRY_FIELD_LIST, type Flag } from '../registry/entry-fields.ts';
import { declaredWarning } from '../registry/entry-warnings.ts';
import { addEntryFlags, type EntryFlags, flagAt, flagsToJson } from './entry-flags.ts';
import { placed, printWarnings, UsageError } from './errors.ts';
import { type OutputFormat, printFields, printJson, printTable } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

type Warned<T> = T & { readonly warnings?: readonly Problem[] };
type Created = Warned<EntryJson | { readonly entries: readonly EntryJson[] }>;
interface Page {
  readonly entries: readonly EntryJson[];
  readonly next_cursor: string;
}

export function addEntryCommands(program: Command): void {
  const entry = program.command('entry').description('create, show, change and delete registration entries');
  addCreate(entry);
  addList(entry);
  addClientOptions(entry.command('show <id>').description('show one entry')).action(
    async (id: string, options: ClientOptions) => {
      const client = await openClient(options);
      printEntry(await client.json<EntryJson>('GET', pathOf(id)), options.output);
    },
  );
  addUpdate(entry);
  addDelete(entry);
  addClientOptions(entry.command('count').description('count the entries')).action(async (options: ClientOptions) => {
    const { length } = await allEntries(options, new URLSearchParams());
    if (options.output === 'json') printJson({ count: length });
    else printTable([String(length)], []);
  });
}

function addCreate(entry: Command): void {
  const command = entry
    .command('create')
    .description('create an entry from flags, or the entries of a file (all or none)')
    .option('--entry-id <id>', "the entry's id (default: a random UUID)")
    .option(
      '--data <file>',
      'a file with {"entries":[…]} as JSON or YAML, also in SPIRE\'s file format; - reads stdin',
    );
  addClientOptions(addEntryFlags(command)).action(
    async ({ data, entryId, ...options }: EntryFlags & ClientOptions & { data?: string; entryId?: string }) => {
      const flags = { ...(entryId === undefined ? {} : { id: entryId }), ...flagsToJson(options) };
      if (data !== undefined && Object.keys(flags).length > 0) {
        throw new UsageError("--data can't be combined with flags that describe an entry");
      }
      if (data === undefined && !('spiffe_id' in flags && 'selectors' in flags)) {
        throw new UsageError('give --spiffe-id and --selector, or --data');
      }
      const file = data === undefined ? undefined : await (await import('./entries-file.ts')).readEntriesFile(data);
      const body = file === undefined ? flags : { entries: file.entries };
      const place = file === undefined ? byFlag : (problem: Problem) => file.locate(problem);
      const client = await openClient(options);
      const { warnings, ...created } = await placed(place, () => client.json<Created>('POST', '/v1/entries', { body }));
      printWarnings((warnings ?? []).map(place));
      if ('entries' in created) printEntries(created.entries, options.output);
      else printEntry(created, options.output);
    },
  );
}

function addList(entry: Command): void {
  const command = entry
    .command('list')
    .description('list entries, oldest first')
    .option('--spiffe-id <id>', 'only entries with this SPIFFE ID')
    .option(
      '--selector <type:value>',
      'only entries with this selector; repeat for more',
      (value, before: string[] = []) => [...before, value],
    )
    .option('--hint <text>', 'only entries with this hint');
  addClientOptions(command).action(
    async (options: ClientOptions & { spiffeId?: string; selector?: readonly string[]; hint?: string }) => {
      const query = new URLSearchParams();
      if (options.spiffeId !== undefined) query.set('spiffe_id', options.spiffeId);
      for (const selector of options.selector ?? []) query.append('selector', selector);
      if (options.hint !== undefined) query.set('hint', options.hint);
      printEntries(await allEntries(options, query), options.output);
    },
  );
}

function addUpdate(entry: Command): void {
  const command = addEntryFlags(
    entry.command('update <id>').description('change the given fields of an entry; the others stay'),
    true,
  ).option('--if-match <revision>', 'only if the entry still has this revision');
  addClientOptions(command).action(async (id: string, options: EntryFlags & ClientOptions & { ifMatch?: string }) => {
    const body = flagsToJson(options);
    if (Object.keys(body).length === 0) throw new UsageError('give at least one flag to change');
    const client = await openClient(options);
    const headers = ifMatch(options.ifMatch);
    const { warnings, ...changed } = await placed(byFlag, () =>
      client.json<Warned<EntryJson>>('PATCH', pathOf(id), { body, headers }),
    );
    printWarnings((warnings ?? []).map(byFlag));
    printEntry(changed, options.output);
  });
}

function addDelete(entry: Command): void {
  const command = entry
    .command('delete <id>')
    .description('delete an entry: no SVID is issued or renewed for it any more')
    .option('--if-match <revision>', 'only if the entry still has this revision');
  addClientOptions(command).action(async (id: string, options: ClientOptions & { ifMatch?: string }) => {
    const client = await openClient(options);
    const entry = await client.json<EntryJson>('GET', pathOf(id));
    await client.text('DELETE', pathOf(id), { headers: ifMatch(options.ifMatch) });
    const declared = declaredWarning(entry);
    if (declared !== undefined) printWarnings([declared]);
    if (options.output === 'json') printJson({ deleted: id });
    else printTable([`deleted ${id}`], []);
  });
}

/** Reads all pages. */
export async function allEntries(options: ClientOptions, query: URLSearchParams): Promise<EntryJson[]> {
  const client = await openClient(options);
  const entries: EntryJson[] = [];
  query.set('limit', '1000');
  for (;;) {
    const page = await client.json<Page>('GET', `/v1/entries?${query}`);
    entries.push(...page.entries);
    if (page.next_cursor === '') return entries;
    query.set('cursor', page.next_cursor);
  }
}

/** Names the flag that a problem is about. */
function byFlag(problem: Problem): Problem {
  return { ...problem, path: flagAt(problem.path) };
}

function pathOf(id: string): string {
  return `/v1/entries/${encodeURIComponent(id)}`;
}

function ifMatch(revision: string | undefined): Record<string, string> {
  return revision === undefined ? {} : { 'if-match': revision };
}

function printEntries(entries: readonly EntryJson[], format: OutputFormat): void {
  if (format === 'json') {
    printJson({ entries });
    return;
  }
  const rows = entries.map((entry) => [
    entry.id,
    entry.spiffe_id,
    selectorsOf(entry).join(' '),
    entry.hint,
    entry.expires_at ?? 'never',
    String(entry.revision_number),
    entry.source,
    entry.allow_contained ? 'allowed' : '',
  ]);
  printTable(['ID', 'SPIFFE ID', 'SELECTORS', 'HINT', 'EXPIRES', 'REVISION', 'SOURCE', 'CONTAINED'], rows);
}

function printEntry(entry: EntryJson, format: OutputFormat): void {
  if (format === 'json') {
    printJson(entry);
    return;
  }
  printFields(ENTRY_FIELD_LIST.map(([, { name, flag }]) => [name, shown(entry, name, flag?.kind)]));
}

function shown(entry: EntryJson, name: keyof EntryJson, kind: Flag['kind'] | undefined): string | readonly string[] {
  const value = entry[name];
  if (kind === 'selectors') return selectorsOf(entry);
  if (kind === 'duration') return ttl(value as number);
  if (kind === 'instant') return (value as string | null) ?? 'never';
  return kind === 'texts' ? (value as readonly string[]) : String(value);
}

function selectorsOf(entry: EntryJson): string[] {
  return entry.selectors.map(({ type, value }) => `${type}:${value}`);
}

function ttl(seconds: number): string {
  return seconds === 0 ? 'default' : formatDuration(seconds);
}
