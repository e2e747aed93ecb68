/** `sidekey bundle …`: the server's own trust bundle, and those of other trust domains. */

import { type Command, Option } from 'commander';
import { BODY_LIMIT, type Problem, printableLines, SidekeyError, writeFileAtomic } from '../base/index.ts';
import { deleteAll } from './delete.ts';
import { placed, printWarnings, UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { isData, printData, printFields, printTable, printView, REPORT_FORMATS } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

const JSON_TYPE = 'application/json';
const PEM_TYPE = 'application/x-pem-file';

export function addBundleCommands(program: Command): void {
  const bundle = program
    .command('bundle')
    .description("show and set trust bundles: the server's own, and those of other trust domains");
  addShow(bundle);
  addSet(bundle);
  addList(bundle);
  addPublish(bundle);
  addClientOptions(
    bundle
      .command('delete <trust-domains...>')
      .description("delete other trust domains' bundles; they are no longer given to any caller"),
  ).action(async (trustDomains: readonly string[], options: ClientOptions) => {
    const client = await openClient(options);
    await deleteAll(trustDomains, options.output, (one) => client.deleteForeignBundle({ path: { trust_domain: one } }));
  });
}

interface ShowOptions extends ClientOptions {
  readonly format?: 'pem' | 'spiffe';
  readonly lists?: boolean;
}

function addShow(bundle: Command): void {
  const show = bundle
    .command('show [trust-domain]')
    .description("print a bundle: the server's own, or that of the given trust domain")
    .addOption(
      new Option('--format <format>', 'PEM (the default), or the SPIFFE bundle as JSON').choices(['pem', 'spiffe']),
    )
    .option('--lists', "with the revocation lists of the server's own bundle, as PEM");
  addClientOptions(show, REPORT_FORMATS).action(async (trustDomain: string | undefined, options: ShowOptions) => {
    const { output, lists = false } = options;
    const asData = isData(output);
    if (asData && options.format === 'pem')
      throw new UsageError(`--output ${output} and --format pem contradict each other: give one of the two`);
    if (lists && (asData || options.format === 'spiffe' || trustDomain !== undefined)) {
      throw new UsageError("--lists is for the server's own bundle as PEM: leave out the trust domain and the format");
    }
    const client = await openClient(options);
    const accept = asData || options.format === 'spiffe' ? JSON_TYPE : PEM_TYPE;
    const path =
      trustDomain === undefined
        ? `/v1/bundle${lists ? '?lists=true' : ''}`
        : `/v1/bundles/${encodeURIComponent(trustDomain)}`;
    const text = await client.text('GET', path, { headers: { accept } });
    if (output === 'yaml') await printData(output, JSON.parse(text));
    else process.stdout.write(`${printableLines(text.trimEnd())}\n`);
  });
}

function addSet(bundle: Command): void {
  const set = bundle
    .command('set <trust-domain>')
    .description('set the bundle of another trust domain; replaces the present one')
    .requiredOption('--file <file>', 'a SPIFFE bundle as JSON, or certificates as PEM; - reads stdin');
  addClientOptions(set).action(async (trustDomain: string, options: ClientOptions & { file: string }) => {
    const body = await readInput('--file', options.file);
    checkSize(body, options.file);
    const client = await openClient(options);
    const contentType = isJson(body) ? JSON_TYPE : PEM_TYPE;
    const name = options.file === '-' ? 'stdin' : options.file;
    const place = (problem: Problem) =>
      problem.path === 'trust_domain' ? problem : { ...problem, path: `--file: ${name} ${problem.path}`.trimEnd() };
    const { warnings, ...made } = await placed(place, () =>
      client.setForeignBundle({ path: { trust_domain: trustDomain }, body, contentType }),
    );
    printWarnings(warnings.map(place));
    await printView(options.output, {
      value: made,
      names: [made.trust_domain],
      table: () =>
        printFields(Object.entries(made).map(([name, value]) => [name, value === null ? 'none' : String(value)])),
    });
  });
}

function addList(bundle: Command): void {
  const list = bundle.command('list').description('list the bundles of other trust domains');
  addClientOptions(list).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const { bundles } = await client.listForeignBundles();
    const rows = bundles.map((one) => [
      one.trust_domain,
      one.source,
      String(one.spiffe_sequence),
      String(one.authorities),
      one.expires_at ?? 'none valid',
      one.updated_at,
    ]);
    await printView(options.output, {
      value: { bundles },
      names: bundles.map((one) => one.trust_domain),
      table: () => printTable(['TRUST DOMAIN', 'SOURCE', 'SEQUENCE', 'AUTHORITIES', 'EXPIRES', 'UPDATED'], rows),
    });
  });
}

function addPublish(bundle: Command): void {
  const publish = bundle
    .command('publish <file>')
    .description(
      'write the own bundle, as other trust domains fetch it, into a file for a server or CDN that serves it',
    );
  addClientOptions(publish).action(async (file: string, options: ClientOptions) => {
    const client = await openClient(options);
    const document = JSON.parse(await client.text('GET', '/v1/bundle', { headers: { accept: JSON_TYPE } }));
    const { spiffe_sequence, spiffe_refresh_hint, keys } = document as PublishedDocument;
    try {
      writeFileAtomic(file, `${JSON.stringify(document)}\n`, PUBLIC);
    } catch (thrown) {
      throw new UsageError(`${file} cannot be written: ${(thrown as Error).message}`);
    }
    // The next JWT key is always published, so the server has one that waits if it lets new authorities wait at all.
    const { authorities } = await client.listAuthorities();
    if (authorities.every((one) => one.fetched_at === null)) printWarnings([UNAWARE]);
    const made = { file, spiffe_sequence, spiffe_refresh_hint, keys: keys.length };
    await printView(options.output, {
      value: made,
      names: [file],
      table: () => printFields(Object.entries(made).map(([name, value]) => [name, String(value)])),
    });
  });
}

interface PublishedDocument {
  readonly spiffe_sequence: number;
  readonly spiffe_refresh_hint: number;
  readonly keys: readonly unknown[];
}

/** The mode of a published bundle: other programs upload it. */
const PUBLIC = 0o644;
const UNAWARE: Problem = {
  path: '',
  problem: 'the server does not know that the bundle is published, so a new authority may sign before others have it',
  rule: 'start it with --federation-publish-file FILE, which also keeps the file up to date, or with --federation-listen',
};

/** Whether the text looks like JSON. Any other text is sent as PEM; if it is not PEM, the server refuses it with the reason. */
function isJson(body: Buffer): boolean {
  return /^[\s\ufeff]*[{[]/.test(body.toString('utf8'));
}

/** Checks before sending, because a server that refuses a large body may close the connection before its reason is read. */
function checkSize(body: Buffer, file: string): void {
  if (body.length <= BODY_LIMIT) return;
  const name = file === '-' ? 'stdin' : file;
  throw new SidekeyError(
    'ERR_TOO_LARGE',
    `--file: ${name} has ${body.length} bytes; a bundle may have at most ${BODY_LIMIT}`,
  );
}
