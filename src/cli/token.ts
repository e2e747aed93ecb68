/** `sidekey token …`: bearer tokens for the admin API on TCP. */

import { writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { type Problem, parseDuration, ROLES, type Role, SystemClock } from '../base/index.ts';
import { deleteAll } from './delete.ts';
import { placed, UsageError } from './errors.ts';
import { printFields, printTable, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface CreateOptions extends ClientOptions {
  readonly role: Role;
  readonly expiresAt?: string;
  readonly expiresIn?: string;
  readonly out?: string;
}

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('make, list and revoke tokens for the admin API on TCP');
  addCreate(token);
  addClientOptions(token.command('list').description('list tokens by name, without their texts')).action(
    async (options: ClientOptions) => {
      const client = await openClient(options);
      const { tokens } = await client.listTokens();
      const rows = tokens.map(({ name, role, created_at: created, expires_at: end, expired }) => [
        name,
        role,
        created,
        end === null ? 'never' : `${end}${expired ? ' (expired)' : ''}`,
      ]);
      await printView(options.output, {
        value: { tokens },
        names: tokens.map(({ name }) => name),
        table: () => printTable(['NAME', 'ROLE', 'CREATED', 'EXPIRES'], rows),
      });
    },
  );
  addClientOptions(
    token
      .command('revoke <names...>')
      .description('revoke tokens: requests with them are refused from now on, and their event streams end'),
  ).action(async (names: readonly string[], options: ClientOptions) => {
    const client = await openClient(options);
    await deleteAll(names, options.output, (name) => client.revokeToken({ path: { name } }));
  });
}

function addCreate(token: Command): void {
  const create = token
    .command('create <name>')
    .description('make a token and print its text, which is not shown again')
    .addOption(
      new Option('--role <role>', 'what it allows; each role includes those before it')
        .choices(ROLES)
        .makeOptionMandatory(),
    )
    .option('--expires-in <duration>', 'how long it is valid, such as 90d (default: until it is revoked)')
    .option('--expires-at <time>', 'RFC 3339 or epoch seconds: when it ends')
    .option('--out <file>', 'write the text to a new file of mode 0600 instead');
  addClientOptions(create).action(async (name: string, options: CreateOptions) => {
    const expiresAt = endOf(options);
    const client = await openClient(options);
    const body = { name, role: options.role, ...(expiresAt === undefined ? {} : { expires_at: expiresAt }) };
    // Made first, so that no token is left over that nobody knows.
    if (options.out !== undefined) writeNew(options.out, '');
    const { token: text, ...made } = await placed(byFlag, () => client.createToken({ body }));
    if (options.out !== undefined) writeFileSync(options.out, `${text}\n`);
    const value = options.out === undefined ? { ...made, token: text } : { ...made, file: options.out };
    await printView(options.output, {
      value,
      names: [made.name],
      table: () =>
        printFields(Object.entries(value).map(([field, one]) => [field, one === null ? 'never' : String(one)])),
    });
  });
}

/** @throws UsageError if both are given, or a duration is none */
function endOf({ expiresAt, expiresIn }: CreateOptions): string | undefined {
  if (expiresIn === undefined) return expiresAt;
  if (expiresAt !== undefined) throw new UsageError('give --expires-in or --expires-at, not both');
  const seconds = parseDuration(expiresIn);
  if (seconds === undefined || seconds === 0) {
    throw new UsageError(`--expires-in: ${JSON.stringify(expiresIn)} is not a duration, such as 12h or 90d`);
  }
  return new Date(new SystemClock().now() + seconds * 1_000).toISOString();
}

/** @throws UsageError if the file exists or can't be made */
function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (thrown) {
    throw new UsageError(`--out: ${(thrown as Error).message}`);
  }
}

const FLAGS: Readonly<Record<string, string>> = { '/name': 'NAME', '/role': '--role', '/expires_at': '--expires-at' };

function byFlag(problem: Problem): Problem {
  return { ...problem, path: FLAGS[problem.path] ?? problem.path };
}
