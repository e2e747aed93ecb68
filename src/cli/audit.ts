/** `sidekey audit …`: who changed what, and whether the record of it is unchanged. */

import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { AUDIT_ACTIONS, actorName, ChainVerifier } from '../audit/index.ts';
import { DURATION_RULE, parseDuration } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import type { AuditPage, AuditRow } from '../gen/admin-api.ts';
import { UsageError } from './errors.ts';
import { jsonText, printTable, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface FilterOptions extends ClientOptions {
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
  readonly spiffeId?: string;
  readonly serial?: string;
  readonly since?: string;
  readonly until?: string;
}

interface ListOptions extends FilterOptions {
  readonly limit: string;
  readonly oldestFirst?: boolean;
  readonly follow?: boolean;
}

/** Interval of the looks at new rows, in milliseconds. */
const FOLLOW_MS = 1_000;
/** Rows per page. */
const PAGE = 1_000;

export function addAuditCommands(program: Command): void {
  const audit = program
    .command('audit')
    .description('show who changed what and what was issued, and verify the record');
  addFilters(audit.command('list').description('list the audit, newest first'))
    .option('--limit <n>', 'maximum number of rows', '100')
    .option('--oldest-first', 'list the oldest rows first')
    .option('--follow', 'list rows from now on, as they come, until Ctrl-C')
    .action(async (options: ListOptions) => {
      const client = await openClient(options);
      if (options.follow === true) await follow(client, options);
      else await list(client, options);
    });
  addClientOptions(
    audit
      .command('verify')
      .description('verify that no row was changed, removed or reordered')
      .option('--expect <hash>', 'a hash that a row must have, from the log or an earlier verification')
      .option('--file <file>', 'verify an export instead of the server; - is stdin'),
  ).action(verify);
  addFilters(
    audit
      .command('export')
      .description('print all rows as JSON Lines, oldest first; docs/audit.md defines the format')
      .option('--after <sequence>', 'only rows after this one'),
  ).action(async (options: FilterOptions & { after?: string }) => {
    const client = await openClient(options);
    const given = { ...filterOf(options), format: 'jsonl', after: options.after };
    const query = new URLSearchParams(
      Object.entries(given).filter((one): one is [string, string] => one[1] !== undefined),
    );
    for await (const piece of await client.pieces(`/v1/audit?${query}`)) {
      if (!process.stdout.write(piece)) await drained();
    }
  });
}

function addFilters(command: Command): Command {
  return addClientOptions(
    command
      .option('--actor <actor>', 'unix:UID, token:NAME, file:PATH, server, or a kind alone, such as token')
      .option('--action <action>', `${Object.keys(AUDIT_ACTIONS)[3]}, or the part before the dot`)
      .option('--target <name>', 'the id of an entry or authority, the host of an alias, a trust domain')
      .option('--spiffe-id <id>', 'rows about this SPIFFE ID, and SVIDs issued for it')
      .option('--serial <hex>', 'the issuance of the SVID with this serial number')
      .option('--since <time>', 'a time as in RFC 3339, or a duration before now, such as 24h')
      .option('--until <time>', 'the same: rows from before it'),
  );
}

/** Waits until stdout takes more, or has failed. */
function drained(): Promise<void> {
  return new Promise((resolve) => {
    for (const event of ['drain', 'error', 'close']) process.stdout.once(event, () => resolve());
  });
}

function filterOf({ actor, action, target, spiffeId, serial, since, until }: FilterOptions) {
  return {
    ...{ actor, action, target, spiffe_id: spiffeId, serial: serial?.replaceAll(':', '').toLowerCase() },
    ...{ since: instantOf('--since', since), until: instantOf('--until', until) },
  };
}

/** A time that the server reads. @throws UsageError */
function instantOf(flag: string, text: string | undefined): string | undefined {
  if (text === undefined || /^\d{4}-/.test(text)) return text;
  const seconds = parseDuration(text);
  if (seconds !== undefined) return new Date(Date.now() - seconds * 1_000).toISOString();
  throw new UsageError(
    `${flag}: ${JSON.stringify(text)} is neither a time such as 2026-06-01T12:00:00Z nor a duration; ${DURATION_RULE}`,
  );
}

async function list(client: AdminClient, options: ListOptions): Promise<void> {
  const limit = /^\d{1,9}$/.test(options.limit) ? Number(options.limit) : 0;
  if (limit === 0) throw new UsageError(`--limit: ${JSON.stringify(options.limit)} is not a positive whole number`);
  const query = { ...filterOf(options), order: options.oldestFirst === true ? 'oldest' : 'newest' } as const;
  const rows: AuditRow[] = [];
  let cursor: string | undefined;
  let page: AuditPage;
  do {
    page = await client.listAudit({ query: { ...query, limit: Math.min(PAGE, limit - rows.length), cursor } });
    for (const row of page.rows) rows.push(row);
    cursor = page.next_cursor;
  } while (page.next_cursor !== '' && rows.length < limit);
  await printView(options.output, {
    value: { rows, next_cursor: page.next_cursor, head: page.head },
    names: rows.map(({ sequence }) => String(sequence)),
    table: (wide) =>
      printTable(
        headerOf(wide),
        rows.map((row) => cellsOf(row, wide)),
      ),
  });
}

async function follow(client: AdminClient, options: ListOptions): Promise<void> {
  const query = { ...filterOf(options), order: 'oldest', limit: PAGE } as const;
  const { head } = await client.listAudit({ query: { limit: 1 } });
  let cursor = String(head.sequence);
  for (;;) {
    const page = await client.listAudit({ query: { ...query, cursor } });
    for (const row of page.rows) {
      const isData = options.output === 'json' || options.output === 'yaml';
      // A line for each row: JSON of one line is YAML too.
      process.stdout.write(isData ? `${jsonText(row)}\n` : '');
      if (!isData) printTable(cellsOf(row, options.output === 'wide'), []);
    }
    cursor = page.next_cursor === '' ? String(page.head.sequence) : page.next_cursor;
    if (page.next_cursor === '') await sleep(FOLLOW_MS);
  }
}

function headerOf(wide: boolean): string[] {
  return ['SEQUENCE', 'AT', 'ACTION', 'ACTOR', 'ABOUT', ...(wide ? ['SOURCE', 'HASH'] : [])];
}

function cellsOf(row: AuditRow, wide: boolean): string[] {
  const { sequence, at, action, actor, source, hash } = row;
  const name = actorName(actor as Parameters<typeof actorName>[0]);
  return [String(sequence), at, action, name, aboutOf(row), ...(wide ? [source, hash] : [])];
}

function aboutOf({ target, spiffe_id, serial, detail, before, after }: AuditRow): string {
  const parts = [target, spiffe_id, serial === undefined ? undefined : `serial ${serial}`];
  if (typeof detail?.code === 'string') parts.push(`${detail.code} × ${detail.count}`);
  const fields = changedFields(before, after);
  if (fields.length > 0) parts.push(`changed: ${fields.join(', ')}`);
  return parts.filter((part) => part !== undefined).join(' ');
}

const ALWAYS_CHANGED: ReadonlySet<string> = new Set(['updated_at', 'revision_number']);

function changedFields(before: AuditRow['before'], after: AuditRow['after']): string[] {
  if (before === undefined || after === undefined) return [];
  const names = Object.keys({ ...before, ...after }).filter((name) => !ALWAYS_CHANGED.has(name));
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}

async function verify(options: ClientOptions & { expect?: string; file?: string }): Promise<void> {
  const { expect, file } = options;
  if (expect !== undefined && !/^[0-9a-f]{64}$/i.test(expect)) {
    throw new UsageError(`--expect: ${JSON.stringify(expect)} is not a hash of 64 hex digits`);
  }
  const verifier = new ChainVerifier(expect);
  const pieces =
    file === undefined ? await (await openClient(options)).pieces('/v1/audit?format=jsonl') : fileText(file);
  for await (const line of linesIn(pieces)) verifier.add(line);
  const result = verifier.end();
  if (file === undefined && !result.anchored) {
    throw new Error(`rows up to ${result.after} are missing, and no row of the audit says that they were pruned`);
  }
  const { prunedTokens, ...proven } = result;
  const value = { ...proven, pruned_tokens: prunedTokens, expected: expect !== undefined };
  await printView(options.output, {
    value,
    names: [result.hash],
    table: () => {
      const { rows, issuances, after, sequence, hash, unchained, anchored } = result;
      process.stdout.write(`verified ${rows} rows and ${issuances} issuances, up to row ${sequence}\nhash ${hash}\n`);
      if (after > 0) {
        const why = anchored ? 'were pruned, and a row has their hash' : 'are not in this export';
        process.stdout.write(`rows up to ${after} ${why}\n`);
      }
      if (prunedTokens > 0) {
        process.stdout.write(`${prunedTokens} issuances of JWT-SVIDs were removed after their end, as a row says\n`);
      }
      if (unchained > 0) process.stdout.write(`${unchained} issuances are older than the audit: nothing proves them\n`);
      if (expect === undefined) process.stdout.write(WITHOUT_EXPECT);
    },
  });
}

const WITHOUT_EXPECT =
  'Whoever can write the database can also compute the chain anew, or remove its end: give --expect with a hash from the log ("audit_hash").\n';

async function* fileText(file: string): AsyncGenerator<string> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  try {
    for await (const piece of input.setEncoding('utf8')) yield piece as string;
  } catch (thrown) {
    throw new UsageError(`--file: ${(thrown as Error).message}`);
  }
}

/** Maximum length of a line, in characters; a row has at most a few entries' worth. */
const MAX_LINE = 8 * 1024 * 1024;

async function* linesIn(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) throw new Error(`a line has more than ${MAX_LINE} characters`);
    yield* lines;
  }
  if (rest !== '') throw new Error('the last line is cut off: the export is not complete');
}
