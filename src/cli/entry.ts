/** `sidekey entry …`: the registration entries. */

import type { Command } from 'commander';
import type { DoctorJson, RevokedJson } from '../admin/index.ts';
import { missingPrograms } from '../attest/index.ts';
import {
  FILE_SOURCE,
  formatDuration,
  type Problem,
  REVOCATION_REASON_NAMES as REASONS,
  type RevocationReason,
} from '../base/index.ts';
import type { AdminClient, QueryOf } from '../client/index.ts';
import type { DeclaredEntry } from '../entries-file/index.ts';
import type { NewEntries } from '../gen/admin-api.ts';
import { declaredWarning, ENTRY_FIELD_LIST, type EntryJson, type Flag, programWarning } from '../registry/index.ts';
import { formatSelector } from '../spiffe/index.ts';
import { deleteAll } from './delete.ts';
import { addEntryFlags, type EntryFlags, flagAt, flagsToJson } from './entry-flags.ts';
import { placed, printWarnings, UsageError } from './errors.ts';
import { type OutputFormat, printFields, printTable, printView } from './output.ts';
import { addWait, readWait } from './revoke.ts';
import { checkRefusing, printOutcome } from './revoke-text.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

type EntryFilter = Omit<QueryOf<'listEntries'>, 'limit' | 'cursor'>;

export function addEntryCommands(program: Command): void {
  const entry = program.command('entry').description('create, show, change and delete registration entries');
  addCreate(entry);
  addList(entry);
  addClientOptions(entry.command('show <id>').description(`show one entry; ${ID_FORMS}`)).action(
    async (id: string, options: ClientOptions) => {
      const client = await openClient(options);
      await printEntry(await findEntry(client, id), options.output);
    },
  );
  addUpdate(entry);
  addDelete(entry);
  addClientOptions(entry.command('count').description('count the entries')).action(async (options: ClientOptions) => {
    const { length } = await allEntries(options);
    const count = String(length);
    await printView(options.output, { value: { count: length }, names: [count], table: () => printTable([count], []) });
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
      const { warnings, ...created } = await placed(place, () => client.createEntries({ body: body as NewEntries }));
      const made = 'entries' in created ? created.entries : [created];
      printWarnings([...(warnings ?? []).map(place), ...(await programWarnings(made))]);
      if ('entries' in created) await printEntries(made, options.output);
      else await printEntry(created, options.output);
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
      const { spiffeId, selector, hint } = options;
      await printEntries(await allEntries(options, { spiffe_id: spiffeId, selector, hint }), options.output);
    },
  );
}

function addUpdate(entry: Command): void {
  const command = addEntryFlags(
    entry.command('update <id>').description(`change the given fields of an entry, the others stay; ${ID_FORMS}`),
    true,
  ).option('--if-match <revision>', 'only if the entry still has this revision');
  addClientOptions(command).action(async (id: string, options: EntryFlags & ClientOptions & { ifMatch?: string }) => {
    const body = flagsToJson(options);
    if (Object.keys(body).length === 0) throw new UsageError('give at least one flag to change');
    const client = await openClient(options);
    const headers = ifMatch(options.ifMatch);
    const entry = await findEntry(client, id);
    const { warnings, ...changed } = await placed(byFlag, () =>
      client.updateEntry({ path: { id: entry.id }, headers, body }),
    );
    printWarnings([...(warnings ?? []).map(byFlag), ...(await programWarnings([changed]))]);
    await printEntry(changed, options.output);
  });
}

interface DeleteOptions extends ClientOptions {
  readonly ifMatch?: string;
  readonly revoke?: string | true;
  readonly wait: string;
}

function addDelete(entry: Command): void {
  const command = entry
    .command('delete [ids...]')
    .description(`delete entries: no SVID is issued or renewed for them any more; ${ID_FORMS}`)
    .usage('[options] <ids...>')
    .option('--if-match <revision>', 'only if the entry still has this revision; with one id only')
    .option(
      '--revoke [=REASON]',
      `also revoke the unexpired certificates of the entries; the reason is one of ${REASONS.join(', ')} (default: unspecified). Exits with status 1 if a connected proxy does not refuse them in time`,
    );
  addClientOptions(addWait(command)).action(async (given: readonly string[], options: DeleteOptions) => {
    const { ids, reason } = readRevoke(given, options.revoke);
    if (ids.length === 0) throw new UsageError('give the ids of the entries to delete');
    if (ids.length > 1 && options.ifMatch !== undefined) throw new UsageError('--if-match goes with one id');
    const wait = readWait(options.wait);
    const client = await openClient(options);
    // All entries are looked up first, so that nothing is deleted if an id is mistyped.
    const entries = new Map<string, EntryJson>();
    for (const id of ids) {
      const entry = await findEntry(client, id);
      entries.set(entry.id, entry);
    }
    const last = [...entries.keys()].at(-1);
    let outcome: RevokedJson | undefined;
    const remove = async (id: string) => {
      const headers = ifMatch(options.ifMatch);
      const query = reason === undefined ? {} : { revoke: reason, wait: id === last ? wait : 0 };
      const answer = await client.deleteEntry({ path: { id }, headers, query });
      if (answer) outcome = { ...answer, ...sumOf(outcome, answer) };
      const entry = entries.get(id)!;
      const declared = declaredWarning(entry, (await placesOf(client, [entry])).get(id));
      if (declared !== undefined) printWarnings([declared]);
    };
    await deleteAll([...entries.keys()], options.output, remove, {
      value: () => outcome ?? {},
      table: (wide) => {
        if (outcome === undefined) return;
        process.stdout.write('\n');
        printOutcome(outcome, wide);
      },
    });
    if (outcome !== undefined) checkRefusing(outcome, 'deleted and revoked');
  });
}

/** `--revoke ID` names an entry: a reason is given with `=`, but the parser takes the next word for it. */
function readRevoke(
  given: readonly string[],
  revoke: string | true | undefined,
): { readonly ids: readonly string[]; readonly reason: RevocationReason | undefined } {
  if (revoke === undefined) return { ids: given, reason: undefined };
  const reason = REASONS.find((one) => one === revoke);
  if (reason !== undefined) return { ids: given, reason };
  return { ids: revoke === true ? given : [revoke, ...given], reason: 'unspecified' };
}

function sumOf(before: RevokedJson | undefined, { revoked, already }: RevokedJson): Partial<RevokedJson> {
  if (before === undefined) return {};
  return { revoked: [...before.revoked, ...revoked], already: before.already + already };
}

/** Warnings for written entries whose program this machine does not have. */
export async function programWarnings(entries: readonly EntryJson[]): Promise<Problem[]> {
  const missing = await missingPrograms(
    entries.map(({ selectors, allow_contained: allowContained }) => ({ selectors, allowContained })),
  );
  return missing.map(({ index, file }) => programWarning(file, ` of entry ${entries[index]!.id}`));
}

/** Reads all pages. */
export async function allEntries(options: ClientOptions, filter: EntryFilter = {}): Promise<EntryJson[]> {
  return entriesOf(await openClient(options), filter);
}

/** Reads all pages. @throws AdminError */
export async function entriesOf(client: AdminClient, filter: EntryFilter = {}): Promise<EntryJson[]> {
  const entries: EntryJson[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await client.listEntries({ query: { ...filter, limit: 1_000, cursor } });
    entries.push(...page.entries);
    if (page.next_cursor === '') return entries;
    cursor = page.next_cursor;
  }
}

const ID_FORMS = 'an id, the beginning of one (4 characters or more) or a SPIFFE ID, if it is unique';
/** Minimum length of the beginning of an id: a shorter one may be a mistake, such as an empty variable of a script. */
const SHORTEST_PREFIX = 4;

/**
 * The entry with this id, beginning of an id, or SPIFFE ID.
 * @throws AdminError or Error if there is none; UsageError if there are several
 */
async function findEntry(client: AdminClient, text: string): Promise<EntryJson> {
  const bySpiffeId = text.startsWith('spiffe://');
  if (!bySpiffeId) {
    try {
      return await client.getEntry({ path: { id: text } });
    } catch (thrown) {
      const isMissing = (thrown as { code?: unknown }).code === 'ERR_NOT_FOUND';
      if (!isMissing || text.length < SHORTEST_PREFIX) throw thrown;
      const [entry, ...more] = (await entriesOf(client, {})).filter(({ id }) => id.startsWith(text));
      if (entry !== undefined && more.length === 0) return entry;
      if (entry === undefined) throw thrown;
      throw ambiguous(text, 'begin with', [entry, ...more]);
    }
  }
  const [entry, ...more] = await entriesOf(client, { spiffe_id: text });
  if (entry === undefined) throw new Error(`no entry gives ${text}; sidekey entry list shows the entries`);
  if (more.length > 0) throw ambiguous(text, 'give', [entry, ...more]);
  return entry;
}

/** Maximum number of ids that a message names. */
const NAMED = 5;

function ambiguous(text: string, what: string, entries: readonly EntryJson[]): UsageError {
  const ids = entries.slice(0, NAMED).map(({ id }) => id);
  return new UsageError(`${entries.length} entries ${what} ${text}: give one of the ids, such as ${ids.join(', ')}`);
}

/** Names the flag that a problem is about. */
function byFlag(problem: Problem): Problem {
  return { ...problem, path: flagAt(problem.path) };
}

/**
 * Where the server's entries file declares these entries, as far as this user can read it.
 * @param known the server's report, if it was read before
 */
export async function placesOf(
  client: AdminClient,
  entries: readonly EntryJson[],
  known?: DoctorJson,
): Promise<ReadonlyMap<string, { readonly file: string; readonly line: number | undefined }>> {
  const declared = entries.filter(({ source }) => source === FILE_SOURCE);
  if (declared.length === 0) return new Map();
  const report = known ?? (await client.getDoctorReport().catch(() => undefined));
  const file = report?.inputs.find(({ setting }) => setting === '--entries')?.path;
  if (file === undefined) return new Map();
  const { declaredLines } = await import('../entries-file/index.ts');
  const places = await declaredLines(file, declared.map(asDeclared));
  return new Map(declared.map(({ id }) => [id, places.get(id) ?? { file, line: undefined }]));
}

function asDeclared({ id, spiffe_id: spiffeId, selectors }: EntryJson): DeclaredEntry {
  return { id, spiffeId, selectors };
}

function ifMatch(revision: string | undefined): Record<string, string> {
  return revision === undefined ? {} : { 'if-match': revision };
}

function printEntries(entries: readonly EntryJson[], format: OutputFormat): Promise<void> {
  return printView(format, {
    value: { entries },
    names: entries.map(({ id }) => id),
    table: (wide) => {
      const columns = wide ? [...COLUMNS, ...WIDE_COLUMNS] : COLUMNS;
      const rows = entries.map((entry) => columns.map(([, cell]) => cell(entry)));
      printTable(
        columns.map(([header]) => header),
        rows,
      );
    },
  });
}

type Column = readonly [header: string, cell: (entry: EntryJson) => string];

const COLUMNS: readonly Column[] = [
  ['ID', ({ id }) => id],
  ['SPIFFE ID', (entry) => entry.spiffe_id],
  ['SELECTORS', (entry) => selectorsOf(entry).join(' ')],
  ['HINT', ({ hint }) => hint],
  ['EXPIRES', (entry) => entry.expires_at ?? 'never'],
  ['REVISION', (entry) => String(entry.revision_number)],
  ['SOURCE', ({ source }) => source],
  ['CONTAINED', (entry) => (entry.allow_contained ? 'allowed' : '')],
];

const WIDE_COLUMNS: readonly Column[] = [
  ['X509 TTL', (entry) => ttl(entry.x509_svid_ttl)],
  ['X509 KEY', (entry) => entry.x509_svid_key_type || 'default'],
  ['DNS NAMES', (entry) => entry.dns_names.join(' ')],
  ['FEDERATES WITH', (entry) => entry.federates_with.join(' ')],
  ['PARENT', (entry) => entry.parent_id],
  ['CREATED', (entry) => entry.created_at],
  ['UPDATED', (entry) => entry.updated_at],
];

function printEntry(entry: EntryJson, format: OutputFormat): Promise<void> {
  return printView(format, {
    value: entry,
    names: [entry.id],
    table: () => printFields(ENTRY_FIELD_LIST.map(([, { name, flag }]) => [name, shown(entry, name, flag?.kind)])),
  });
}

function shown(entry: EntryJson, name: keyof EntryJson, kind: Flag['kind'] | undefined): string | readonly string[] {
  const value = entry[name];
  if (kind === 'selectors') return selectorsOf(entry);
  if (kind === 'duration') return ttl(value as number);
  if (kind === 'instant') return (value as string | null) ?? 'never';
  if (name === 'x509_svid_key_type') return (value as string) || 'default';
  return kind === 'texts' ? (value as readonly string[]) : String(value);
}

function selectorsOf(entry: EntryJson): string[] {
  return entry.selectors.map(formatSelector);
}

function ttl(seconds: number): string {
  return seconds === 0 ? 'default' : formatDuration(seconds);
}
