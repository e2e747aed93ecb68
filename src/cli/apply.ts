/** `sidekey apply`: makes the entries of a source equal to files, once or at each change. */

import type { Command } from 'commander';
import type { SourceChangesJson } from '../admin/index.ts';
import { ENTRIES_BODY_LIMIT, type Problem, printable } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import type { EntriesSource } from '../entries-file/index.ts';
import { changeLines } from './apply-text.ts';
import { programWarnings } from './entry.ts';
import { placed, printWarnings, report, UsageError } from './errors.ts';
import { isData, jsonText, printData, REPORT_FORMATS } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface ApplyOptions extends ClientOptions {
  readonly file?: readonly string[];
  readonly source: string;
  readonly dryRun?: true;
  readonly prune?: true;
  readonly adopt?: true;
  readonly watch?: true;
}

/** How long `--watch` waits after a failure that no change of the files ends, in milliseconds. */
const RETRY_MS = 5_000;

export function addApplyCommand(program: Command): void {
  const command = program
    .command('apply')
    .description('make the entries of a source equal to files, all or none')
    .option(
      '-f, --file <path>',
      'a file of entries, or a folder of such files (*.yaml, *.yml, *.json); repeat for more; - reads stdin',
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option('--source <name>', 'the source that declares the entries; other sources keep theirs', 'apply')
    .option('--dry-run', 'show what would change, and which running callers would gain, lose or change an identity')
    .option('--prune', 'delete the entries of the source that are not in the files (default: they stay)')
    .option('--adopt', "take over other sources' entries that are in the files")
    .option('--watch', 'apply again at each change of the files, until it is ended');
  addClientOptions(command, REPORT_FORMATS).action(async (options: ApplyOptions) => {
    const files = options.file ?? [];
    if (files.length === 0) throw new UsageError('give -f FILE, a folder, or - for stdin');
    if (options.watch && files.includes('-')) throw new UsageError('--watch follows files and folders, not stdin');
    if (options.watch && options.dryRun)
      throw new UsageError('--watch applies changes, so --dry-run does not go with it');
    const client = await openClient(options);
    if (options.watch) await follow(client, files, options);
    else await applyOnce(client, (await read(files)).source, options);
  });
}

async function applyOnce(client: AdminClient, source: EntriesSource, options: ApplyOptions): Promise<void> {
  const { dryRun = false, prune = false, adopt = false } = options;
  const { checkSize } = await import('./entries-file.ts');
  await applyRelationships(client, source, options);
  if (source.entries.length === 0 && source.relationships.length > 0) return;
  const names = (options.file ?? []).join(', ');
  const body = checkSize({ source: options.source, entries: source.entries }, names, ENTRIES_BODY_LIMIT);
  const place = (problem: Problem) => source.locate(problem);
  const query = new URLSearchParams({ dry_run: String(dryRun), prune: String(prune), adopt: String(adopt) });
  const headers = { 'content-type': 'application/json' };
  const changes = await placed(place, () =>
    client.json<SourceChangesJson>('PUT', `/v1/entries?${query}`, { body, headers }),
  );
  const programs = await programWarnings([...changes.created, ...changes.changed]);
  printWarnings([...source.notes, ...(changes.warnings ?? []).map(place), ...programs]);
  if (options.watch && isData(options.output)) process.stdout.write(`${jsonText(changes)}\n`);
  else if (isData(options.output)) await printData(options.output, changes);
  else process.stdout.write(changeLines(changes, { dryRun, prune, source: options.source }));
}

/** Creates or changes the relationships of the files. Others stay, also with --prune: to end one is a decision of its own. */
async function applyRelationships(client: AdminClient, source: EntriesSource, options: ApplyOptions): Promise<void> {
  const set = (index: number, dryRun: boolean) => {
    const place = (problem: Problem) => source.locateRelationship(problem, index);
    const body = source.relationships[index];
    const query = { dry_run: dryRun, bundle: 'needed' } as const;
    return placed(place, async () => {
      const domain = trustDomainIn(body);
      const changed = await client.setRelationship({ path: { trust_domain: domain }, query, body: body as never });
      return { ...changed, domain, warnings: changed.warnings.map(place) };
    });
  };
  // All are checked before the first is changed.
  const previews = [];
  for (const index of source.relationships.keys()) previews.push(await set(index, true));
  for (const [index, preview] of previews.entries()) {
    const done = options.dryRun ? preview : await set(index, false);
    printWarnings(done.warnings);
    if (isData(options.output)) continue;
    const bundle = done.bundle_set ? ', with the bundle of the file' : '';
    const would = options.dryRun ? 'would be ' : '';
    process.stdout.write(`${printable(`federation with ${done.domain}: ${would}${done.change}${bundle}`)}\n`);
  }
}

/** The trust domain of a relationship; the server refuses it if it is none. */
function trustDomainIn(body: unknown): string {
  const members = Object.entries((body ?? {}) as object);
  const [, value] = members.find(([name]) => /^trust_?domain$/i.test(name)) ?? [];
  return typeof value === 'string' && value !== '' ? value : '-';
}

interface ReadFiles {
  readonly source: EntriesSource;
  /** The version of each place that was read. */
  readonly versions: readonly string[];
}

/** @throws UsageError, ERR_CONFIG with file and line */
async function read(places: readonly string[]): Promise<ReadFiles> {
  const { EntriesSource, readInputTexts } = await import('../entries-file/index.ts');
  const read = await Promise.all(
    places.map(async (place) => (place === '-' ? { texts: [await readStdin()], version: '' } : readInputTexts(place))),
  );
  const source = await EntriesSource.read(read.flatMap(({ texts }) => texts));
  return { source, versions: read.map(({ version }) => version) };
}

async function readStdin() {
  const [{ decodeInput }, { readInput }] = await Promise.all([import('./entries-file.ts'), import('./input.ts')]);
  return { name: 'stdin', text: decodeInput('-f', await readInput('-f', '-'), 'stdin') };
}

/** Applies at each change. A fault of the files, or a server that does not answer, is printed and changes nothing. */
async function follow(client: AdminClient, files: readonly string[], options: ApplyOptions): Promise<void> {
  const { watchInputs } = await import('../entries-file/index.ts');
  const ended = new AbortController();
  let wake = () => {};
  let changed = false;
  const touch = () => {
    changed = true;
    wake();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      ended.abort();
      wake();
    });
  }
  // Nothing has been read, so the first look of each watch tells.
  const watches = files.map((file) => watchInputs(file, '', touch));
  let failed = false;
  while (!ended.signal.aborted) {
    if (!changed) {
      const timer = failed ? setTimeout(touch, RETRY_MS) : undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      clearTimeout(timer);
      continue;
    }
    changed = false;
    try {
      await applyOnce(client, (await read(files)).source, options);
      failed = false;
    } catch (thrown) {
      report(thrown);
      // A fault of the files ends only with a change, which is told.
      failed = !('problems' in (thrown as object)) || (thrown as { code?: string }).code === 'ERR_UNREACHABLE';
      process.stderr.write(
        failed ? `sidekey: tries again in ${RETRY_MS / 1_000} s\n` : 'sidekey: nothing was changed\n',
      );
    }
  }
  for (const watch of watches) watch.close();
}
