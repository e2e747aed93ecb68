/** `sidekey agent …`: agents of other hosts, and the tokens by which they join. */

import type { Command } from 'commander';
import type { Problem } from '../base/index.ts';
import { AGENT_SETTINGS, type Flags } from '../config/index.ts';
import { deleteAll } from './delete.ts';
import { placed, UsageError } from './errors.ts';
import { printFields, printTable, printView } from './output.ts';
import { addSettings } from './setting-flags.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface TokenOptions extends ClientOptions {
  readonly ttl?: string;
  readonly spiffeId?: string;
}

interface NamedOptions extends ClientOptions {
  readonly spiffeId?: string;
}

export function addAgentCommands(program: Command): void {
  const agent = program
    .command('agent')
    .description('agents of other hosts (docs/hosts.md): join tokens, list, ban, evict');
  addRun(agent);
  addToken(agent);
  addClientOptions(agent.command('list').description('list agents by ID')).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const { agents } = await client.listAgents();
    await printView(options.output, {
      value: { agents },
      names: agents.map(({ id }) => id),
      table: () =>
        printTable(
          ['ID', 'ATTESTATION', 'HOST', 'VERSION', 'EXPIRES', 'STATE'],
          agents.map((one) => {
            const { host = null, version = one.version } = one.attached ?? {};
            return [one.id, one.attestation_type, host ?? '-', version ?? '-', one.expires_at, stateOf(one)];
          }),
        ),
    });
  });
  addNamed(agent.command('show [spiffe-id]').description('show one agent')).action(
    async (given: string | undefined, { spiffeId, ...options }: NamedOptions) => {
      const id = theOne(given, spiffeId);
      const client = await openClient(options);
      const found = await client.getAgent({ path: { id } });
      await printView(options.output, { value: found, names: [found.id], table: () => printFields(fieldsOf(found)) });
    },
  );
  addNamed(
    agent
      .command('ban [spiffe-id]')
      .description('ban an agent: it gets nothing more, and cannot attest itself again until it is evicted'),
  ).action(async (given: string | undefined, { spiffeId, ...options }: NamedOptions) => {
    const id = theOne(given, spiffeId);
    const client = await openClient(options);
    const banned = await client.banAgent({ path: { id } });
    await printView(options.output, { value: banned, names: [banned.id], table: () => printFields(fieldsOf(banned)) });
  });
  addNamed(
    agent
      .command('evict [spiffe-ids...]')
      .description('forget agents: they must attest themselves again, with a new token if they joined with one'),
  ).action(async (given: readonly string[], { spiffeId, ...options }: NamedOptions) => {
    const ids = given.length > 1 && spiffeId === undefined ? given : [theOne(given[0], spiffeId)];
    const client = await openClient(options);
    await deleteAll(ids, options.output, (id) => client.evictAgent({ path: { id } }));
  });
}

/** The agent is an argument, or a flag as of `spire-server agent`, whose spelling works too. */
function addNamed(command: Command): Command {
  return addClientOptions(
    command.option('--spiffe-id <id>', "the agent, in place of the argument; spire-server's -spiffeID works too"),
  );
}

/** @throws UsageError unless exactly one of the two is given */
function theOne(given: string | undefined, flag: string | undefined): string {
  if (given !== undefined && flag !== undefined) throw new UsageError("--spiffe-id can't be combined with an argument");
  const id = given ?? flag;
  if (id === undefined) throw new UsageError('give the SPIFFE ID of the agent: sidekey agent list shows them');
  return id;
}

function addRun(agent: Command): void {
  const run = agent
    .command('run')
    .description('serve the workloads of this host with the identities of a server elsewhere');
  addSettings(run, AGENT_SETTINGS).action(async (flags: Flags) => {
    const { runAgent } = await import('./serve.ts');
    await runAgent(flags);
  });
}

function addToken(agent: Command): void {
  const token = agent
    .command('token')
    .description('make a token with which one agent joins, once, and print it; it is not shown again')
    .option('--ttl <duration>', 'how long it is valid (default: 10m)')
    .option('--spiffe-id <id>', 'a further SPIFFE ID for the agent, which entries may name as their parent');
  addClientOptions(token).action(async ({ ttl, spiffeId, ...options }: TokenOptions) => {
    const client = await openClient(options);
    const seconds = ttl !== undefined && /^\d+$/.test(ttl) ? Number(ttl) : ttl;
    const body = {
      ...(seconds === undefined ? {} : { ttl: seconds }),
      ...(spiffeId === undefined ? {} : { spiffe_id: spiffeId }),
    };
    const made = await placed(byFlag, () => client.createJoinToken({ body }));
    await printView(options.output, { value: made, names: [made.token], table: () => printFields(fieldsOf(made)) });
  });
}

function fieldsOf(shown: object): [string, string | string[]][] {
  const { attached, ...others } = shown as { readonly attached?: object | null };
  const fields = Object.entries(attached ?? {}).map(([name, value]) => [`attached.${name}`, value]);
  return [...Object.entries(others), ...fields].map(([name, value]) => {
    return [name, Array.isArray(value) ? value.map(String) : value === null ? 'none' : String(value)];
  });
}

function stateOf(agent: { readonly banned: boolean; readonly expired: boolean; readonly attached: object | null }) {
  if (agent.banned) return 'banned';
  if (agent.attached !== null) return 'attached';
  return agent.expired ? 'expired' : 'active';
}

function byFlag(problem: Problem): Problem {
  const flags: Readonly<Record<string, string>> = { '/ttl': '--ttl', '/spiffe_id': '--spiffe-id' };
  return { ...problem, path: flags[problem.path] ?? problem.path };
}
