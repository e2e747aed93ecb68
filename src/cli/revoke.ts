/** `sidekey revoke`: revokes certificates before their end, lists revocations, and undoes holds. */

import { type Command, Option } from 'commander';
import type { RestoredJson, RevocationJson, RevocationsJson } from '../admin/index.ts';
import {
  MAX_REVOCATION_WAIT as MAX_WAIT,
  type Problem,
  parseDuration,
  REVOCATION_REASON_NAMES as REASONS,
  type RevocationReason,
} from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import { wordsAsCalled } from './called-as.ts';
import { placed, UsageError } from './errors.ts';
import { printView } from './output.ts';
import { checkRefusing, printChange, printOutcome, printProxies, printRevocations } from './revoke-text.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface RevokeOptions extends ClientOptions {
  readonly serial?: string;
  readonly spiffeId?: string;
  readonly entry?: string;
  readonly reason: RevocationReason;
  readonly now?: boolean;
  readonly wait: string;
}

export function addRevokeCommand(program: Command): void {
  const revoke = program
    .command('revoke')
    .description(
      'revoke certificates before their end: one by its serial number, or all unexpired ones of a SPIFFE ID or an entry; exits with status 1 if a connected proxy does not refuse them in time',
    )
    .option('--serial <hex>', 'the certificate with this serial number, also as openssl prints it')
    .option('--spiffe-id <id>', 'all unexpired certificates that were issued for this SPIFFE ID')
    .option('--entry <id>', 'all unexpired certificates that were issued for this entry, which may be deleted')
    .addOption(new Option('--reason <reason>', 'why').choices(REASONS).default('unspecified'))
    .option(
      '--now',
      'publish the lists before the holders of the certificates have new ones, instead of up to 1s later',
    );
  addWait(revoke);
  addClientOptions(revoke).action(revokeAll);
  addList(revoke, 'list');
  addUndo(revoke);
}

/** `sidekey revocations` is `sidekey revoke list`. */
export function addRevocationsCommand(program: Command): void {
  addList(program, 'revocations');
}

export function addWait(command: Command): Command {
  return command.option('--wait <duration>', `how long to wait for proxies, at most ${MAX_WAIT}s`, '5s');
}

/** In seconds. @throws UsageError */
export function readWait(text: string): number {
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds <= MAX_WAIT) return seconds;
  throw new UsageError(
    `--wait: ${JSON.stringify(text)} is not a duration of at most ${MAX_WAIT}s, such as 5s; 0 waits for no proxy`,
  );
}

async function revokeAll(options: RevokeOptions): Promise<void> {
  const { serial, spiffeId, entry, reason, now = false } = options;
  const given = [serial, spiffeId, entry].filter((one) => one !== undefined);
  if (given.length !== 1) throw new UsageError('give one of --serial, --spiffe-id and --entry');
  const target = {
    ...(serial === undefined ? {} : { serial }),
    ...(spiffeId === undefined ? {} : { spiffe_id: spiffeId }),
    ...(entry === undefined ? {} : { entry_id: entry }),
  };
  const body = { ...target, reason, now, wait: readWait(options.wait) };
  const client = await openClient(options);
  const outcome = await placed(byFlag, () => client.revokeCertificates({ body }));
  await printView(options.output, {
    value: outcome,
    names: outcome.revoked.map((one) => one.serial),
    table: (wide) => printOutcome(outcome, wide),
  });
  checkRefusing(outcome, 'revoked');
}

const FLAGS: Readonly<Record<string, string>> = {
  '/serial': '--serial',
  '/spiffe_id': '--spiffe-id',
  '/entry_id': '--entry',
};

function byFlag(problem: Problem): Problem {
  return { ...problem, path: FLAGS[problem.path] ?? problem.path };
}

function addList(parent: Command, name: string): void {
  const command = parent
    .command(name)
    .description('list the revocations of certificates that have not ended, the lists, and which proxies refuse them');
  addClientOptions(command).action(async (options: ClientOptions) => {
    const all = await allRevocations(await openClient(options));
    await printView(options.output, {
      value: all,
      names: all.revocations.map(({ serial }) => serial),
      table: (wide) => printList(all, wide),
    });
  });
}

/** Reads all pages. @throws AdminError */
async function allRevocations(client: AdminClient): Promise<Omit<RevocationsJson, 'next_cursor'>> {
  const revocations: RevocationJson[] = [];
  for (let cursor: string | undefined; ; ) {
    const { next_cursor: next, ...page } = await client.listRevocations({ query: { limit: 1_000, cursor } });
    revocations.push(...page.revocations);
    if (next === '') return { ...page, revocations };
    cursor = next;
  }
}

function printList(all: Omit<RevocationsJson, 'next_cursor'>, wide: boolean): void {
  printRevocations(all.revocations, wide);
  for (const { role, authority_id: id, entries, this_update: from, next_update: until } of all.lists) {
    process.stdout.write(`\nlist of the ${role} ${id}: ${entries} certificates, of ${from}, until ${until}`);
  }
  if (all.lists.length > 0) process.stdout.write('\n');
  if (all.revocations.length > 0) printProxies(all);
  if (all.why_not !== null) {
    process.stdout.write(`\nNo certificate can be revoked now: ${wordsAsCalled(all.why_not)}\n`);
  }
}

function addUndo(revoke: Command): void {
  const command = revoke
    .command('undo')
    .description('undo the revocation of a certificate, if its reason is certificate-hold')
    .requiredOption('--serial <hex>', 'its serial number');
  addWait(command);
  addClientOptions(command).action(async (options: ClientOptions & { serial: string; wait: string }) => {
    const query = { wait: readWait(options.wait) };
    const client = await openClient(options);
    const outcome: RestoredJson = await placed(
      (problem) => ({ ...problem, path: problem.path === 'serial' ? '--serial' : problem.path }),
      () => client.restoreCertificate({ path: { serial: options.serial }, query }),
    );
    await printView(options.output, {
      value: outcome,
      names: outcome.restored.map(({ serial }) => serial),
      table: (wide) => printChange('restored', outcome.restored, outcome, wide),
    });
    checkRefusing(outcome, 'restored');
  });
}
