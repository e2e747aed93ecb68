/** `sidekey ca …`: the authorities, their rotation, and what to do when a key has leaked. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { AuthoritiesJson } from '../admin/index.ts';
import { DURATION_RULE, parseDuration } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import { wordsAsCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { isData, printFields, printTable, printView } from './output.ts';
import { readProxies, rowsOf } from './proxy-rows.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

type Authority = AuthoritiesJson['authorities'][0];
type LaggingProxies = Authority['waits_for'];

/** Polling interval of the authorities, in milliseconds. */
const LOOK_MS = 100;
/** Maximum number of looks at proxies that have not answered the last bundle. */
const ANSWER_LOOKS = 10;
/** The query for secrets whose last version the proxy does not use. */
const UNANSWERED = { state: ['sent', 'stale', 'rejected'] } as const;

export function addCaCommands(program: Command): void {
  const ca = program
    .command('ca')
    .description('show and replace the authorities: roots, intermediates, and the keys of JWT-SVIDs');
  addClientOptions(ca.command('show').description('list the authorities and their states')).action(
    async (options: ClientOptions) => {
      const client = await openClient(options);
      await print(await client.listAuthorities(), options);
    },
  );
  addClientOptions(
    ca
      .command('rotate')
      .description('replace the intermediate, and reissue all SVIDs')
      .option('--root', 'replace the root instead: a new one is published now and signs once all proxies have it')
      .option('--jwt', 'replace the JWT key instead: the published one signs, once it was published for long enough'),
  ).action(async (options: ClientOptions & { root?: boolean; jwt?: boolean }) => {
    if (options.root === true && options.jwt === true) {
      throw new UsageError('--root and --jwt contradict each other: give one of the two');
    }
    const client = await openClient(options);
    const role = options.root === true ? 'root' : options.jwt === true ? 'jwt' : 'intermediate';
    await print(await client.rotateAuthority({ body: { role } }), options);
  });
  addClientOptions(
    ca
      .command('import <file>')
      .description("import the certificates that an offline root signed, PEM: the intermediate's, then those above it"),
  ).action(async (file: string, options: ClientOptions) => {
    const client = await openClient(options);
    const body = { certificates: (await readInput('FILE', file)).toString('utf8') };
    await print(await client.importAuthority({ body }), options);
  });
  addClientOptions(
    ca
      .command('carry <file>')
      .description(
        'put roots of another server of this trust domain (PEM) into the bundle for some time, for a migration',
      )
      .option('--for <duration>', 'for how long, at most 90d; a root that is carried already gets this end', '14d'),
  ).action(async (file: string, options: ClientOptions & { for: string }) => {
    const seconds = parseDuration(options.for);
    if (seconds === undefined || seconds === 0) throw new UsageError(`--for: ${options.for} is none; ${DURATION_RULE}`);
    const certificates = (await readInput('FILE', file)).toString('utf8');
    const client = await openClient(options);
    const until = new Date(Math.min(Date.now() + seconds * 1_000, LATEST)).toISOString();
    await print(await client.carryRoots({ body: { certificates, until } }), options);
  });
  addClientOptions(
    ca.command('drop <id>').description('take a carried root (its ID, or the beginning) out of the bundle'),
  ).action(async (text: string, options: ClientOptions) => {
    const client = await openClient(options);
    const id = idOf(text, await client.listAuthorities());
    await print(await client.dropCarriedRoot({ path: { id } }), options);
  });
  addClientOptions(
    ca
      .command('taint <id>')
      .description(
        'declare that the key of an authority (its ID, or the beginning) may have leaked: reissue all SVIDs, and stop trusting it; tokens of a tainted JWT key are refused',
      )
      .option('--no-wait', 'do not wait until it has left the bundle'),
  ).action(async (text: string, options: ClientOptions & { wait: boolean }) => {
    const client = await openClient(options);
    const before = await client.listAuthorities();
    const id = idOf(text, before);
    const target = before.authorities.find((one) => one.id === id);
    const tainted = await client.taintAuthority({ path: { id } });
    if (!options.wait) return print(tainted, options);
    await print(await follow(client, tainted, target, !isData(options.output)), options);
  });
}

/** The last instant that a Date can have, in milliseconds since the epoch. */
const LATEST = 8.64e15;

/** Minimum length of the beginning of an ID: a shorter one may be a mistake, such as an empty variable of a script. */
const SHORTEST_PREFIX = 4;

/** The ID of the only authority whose ID begins with this text; without one, the text itself, which the server refuses. */
function idOf(text: string, { authorities }: AuthoritiesJson): string {
  const found = authorities.filter(({ id }) => text.length >= SHORTEST_PREFIX && id.startsWith(text));
  if (found.length > 1)
    throw new UsageError(`the IDs of ${found.length} authorities begin with ${text}: give more of the ID`);
  return found[0]?.id ?? text;
}

/**
 * Polls until no authority is tainted; prints each change of a state and, at the end, the proxies that have not
 * acknowledged the last bundle.
 */
async function follow(
  client: AdminClient,
  first: AuthoritiesJson,
  target: Authority | undefined,
  tells: boolean,
): Promise<AuthoritiesJson> {
  const told = new Map<string, string>();
  let left: LaggingProxies = [];
  for (let now = first; ; now = await client.listAuthorities()) {
    if (tells) tellChanges(now, told);
    const tainted = now.authorities.filter(({ state }) => state === 'tainted');
    if (tainted.length === 0) {
      const rest = now.authorities.find((one) => one.id === target?.id);
      if (rest !== undefined) throw new Error(`${rest.id} is ${rest.state}, not tainted: taint it again`);
      if (target?.role === 'jwt') {
        if (tells)
          process.stdout.write(
            'The next JWT key signs. Tokens of the tainted key are refused by all who have the new bundle.\n\n',
          );
      } else if (target?.role === 'intermediate' && target.is_upstreams) warnOfRoot(target);
      else if (tells) tellFollowers(await stillBehind(client, left));
      return now;
    }
    const waiting = now.authorities.find(({ state }) => state === 'published') ?? tainted[0]!;
    left = waiting.waits_for;
    await pause(LOOK_MS);
  }
}

/**
 * The proxies that still have not answered. Some may have answered since the last look, because the tainted authority is
 * removed as soon as all have.
 */
async function stillBehind(client: AdminClient, seen: LaggingProxies): Promise<LaggingProxies> {
  let left = seen;
  for (let looks = 0; left.length > 0 && looks < ANSWER_LOOKS; looks += 1) {
    if (looks > 0) await pause(LOOK_MS);
    const rows = rowsOf(await readProxies(client, UNANSWERED));
    left = left.filter(({ pid, name }) => rows.some(({ proxy, secret }) => proxy.pid === pid && secret.name === name));
  }
  return left;
}

function tellChanges({ authorities }: AuthoritiesJson, told: Map<string, string>): void {
  for (const { id, role, state } of authorities) {
    if (told.get(id) !== state) process.stdout.write(`${role} ${id}: ${state}\n`);
    told.set(id, state);
  }
  for (const id of told.keys()) {
    if (authorities.some((one) => one.id === id)) continue;
    process.stdout.write(`${id}: gone\n`);
    told.delete(id);
  }
}

/** Warns on stderr, so that the warning is also seen when stdout gets JSON. */
function warnOfRoot({ not_after }: Authority): void {
  process.stderr.write(
    `Its root is the upstream's and stays in the bundles: peers accept what somebody signs with the leaked key until ${not_after}.\n` +
      'To end that, replace the root at the upstream, request a new intermediate (sidekey ca rotate), and taint the old root.\n',
  );
}

function tellFollowers(left: LaggingProxies): void {
  if (left.length === 0) {
    process.stdout.write('All proxies have new SVIDs, and bundles without the tainted root.\n\n');
    return;
  }
  process.stdout.write(
    'When the tainted authority was removed, these proxies had not acknowledged their new secrets:\n',
  );
  printProxies(left);
  process.stdout.write('\n');
}

function print({ authorities, upstream }: AuthoritiesJson, { output }: ClientOptions): Promise<void> {
  return printView(output, {
    value: { authorities, upstream },
    names: authorities.map(({ id }) => id),
    table: (wide) => printAuthorities(authorities, upstream, wide),
  });
}

function printAuthorities(
  authorities: readonly Authority[],
  upstream: AuthoritiesJson['upstream'],
  wide: boolean,
): void {
  const rows = authorities.map(({ role, state, key_type, since, not_before, not_after, leaves_at, id, subject }) => {
    const head = [role, state, key_type ?? 'other', since];
    const end = leaves_at ?? not_after;
    return wide ? [...head, not_before, end, id, subject] : [...head, end, id];
  });
  const [kind, dates] = [['ROLE', 'STATE', 'KEY', 'SINCE'], wide ? ['FROM', 'EXPIRES'] : ['EXPIRES']];
  printTable([...kind, ...dates, 'ID', ...(wide ? ['SUBJECT'] : [])], rows);
  if (authorities.some(({ state }) => state === 'carried')) {
    process.stdout.write(
      '\nCarried roots are those of another server of this trust domain. What it signs is accepted here until the time in EXPIRES.\n',
    );
  }
  if (upstream !== null) {
    process.stdout.write(`\nIntermediates are signed by ${upstream.description}.\n`);
    const { problem, signs_meanwhile: isMeanwhile } = upstream;
    const means = isMeanwhile
      ? 'The files are broken; the last good ones still sign, until a restart'
      : 'It cannot sign now';
    if (problem !== null) process.stdout.write(`${means}: ${wordsAsCalled(problem)}\n`);
    if (upstream.request !== null) process.stdout.write(`\n${upstream.request.csr}`);
  }
  for (const { role, signs_after, fetched_at, state, waits_for } of authorities) {
    if (state === 'tainted' && waits_for.length > 0) {
      process.stdout.write('\nThese proxies may still use an SVID of the tainted authority:\n');
      printProxies(waits_for);
    }
    if (signs_after === null) continue;
    if (role === 'jwt') {
      process.stdout.write(`\nThe published JWT key signs from ${signs_after}.\n`);
      printFetched(fetched_at, signs_after);
      continue;
    }
    process.stdout.write(
      `\nThe published root signs from ${signs_after}, if all proxies have acknowledged the bundle with it by then.\n`,
    );
    printFetched(fetched_at, signs_after);
    if (waits_for.length > 0) {
      process.stdout.write('These proxies have not:\n');
      printProxies(waits_for);
    }
  }
}

/** Says that an authority waits for other trust domains, if that is what it waits for last. */
function printFetched(fetchedAt: string | null | undefined, signsAfter: string): void {
  if (fetchedAt === null || fetchedAt === undefined || fetchedAt < signsAfter) return;
  process.stdout.write('It waits until other trust domains have fetched the bundle with it: five refresh hints.\n');
}

function printProxies(proxies: LaggingProxies): void {
  printFields(
    proxies.map(({ pid, uid, node_id, name, rejection }) => {
      const answer = rejection === null ? 'no answer' : `rejected: ${rejection}`;
      return [`pid ${pid}, uid ${uid}, node ${node_id ?? 'unknown'}`, `${name}: ${answer}`];
    }),
  );
}
