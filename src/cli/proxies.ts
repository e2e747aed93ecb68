/** `sidekey proxies`: the secrets of every proxy, as requested, sent and answered. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { printable, wantsColour } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import { asCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import { columnLines, isData, type OutputFormat, printData } from './output.ts';
import {
  cellsOf,
  HEADER,
  NARROW_HEADER,
  narrowed,
  type Proxies,
  type ProxyFilter,
  type ProxyRow,
  readProxies,
  rowsOf,
  stateColour,
} from './proxy-rows.ts';
import { changesPrinter, jsonOf, screen } from './proxy-show.ts';
import { readTroubles } from './proxy-troubles.ts';
import { addClientOptions, askingAgent, type ClientOptions, openClient } from './target.ts';

/** A copy of the list in `admin/proxy-schema.ts`, which is not loaded for `--help`. */
const STATES = ['held', 'unknown', 'sent', 'in_sync', 'rejected', 'stale'];

interface ProxiesOptions extends ClientOptions {
  readonly state?: ProxyFilter['state'];
  readonly spiffeId?: string;
  readonly name?: string;
  readonly node?: string;
  readonly pid?: string;
  readonly uid?: string;
  readonly watch?: boolean;
  readonly check?: boolean;
  readonly waiting?: boolean;
  readonly agent?: string;
}

export function addProxiesCommand(program: Command): void {
  const command = program
    .command('proxies')
    .description("show each proxy's secrets: what it asked for, what it was sent, and its answer")
    .addOption(new Option('--state <state...>', 'only secrets in one of these states').choices(STATES))
    .option('--spiffe-id <id>', 'only secrets of this SPIFFE ID, including held names')
    .option('--name <name>', 'only secrets that are requested by this name')
    .option('--node <id>', 'only proxies with this node id')
    .option('--pid <pid>', 'only proxies of this process', digits)
    .option('--uid <uid>', 'only proxies of this user', digits)
    .option('--agent <id>', 'the proxies of the host of this agent (its SPIFFE ID), as the agent answers')
    .option('--watch', 'keep running: redraw on a terminal, otherwise print a line for each secret that changes')
    .option('--check', 'show only secrets that need attention, and exit with status 1 if there are any')
    .option('--waiting', 'with --check: names that wait for an entry that never existed need attention too');
  addClientOptions(command).action(showProxies);
}

async function showProxies(options: ProxiesOptions): Promise<void> {
  if (options.watch === true && (options.output === 'yaml' || options.output === 'name'))
    throw new UsageError('--watch prints a table or JSON lines: give --output table, wide or json');
  if (options.watch === true && options.check === true) throw new UsageError('give --watch or --check, not both');
  if (options.waiting === true && options.check !== true) throw new UsageError('give --waiting only with --check');
  if (options.agent !== undefined && (options.watch === true || options.check === true)) {
    throw new UsageError("--watch and --check can't be combined with --agent: run them on the agent's host");
  }
  const filter = filterOf(options);
  const client = askingAgent(await openClient(options), options.agent);
  if (options.watch === true) {
    const { watchProxies } = await import('./proxy-watch.ts');
    const isTerminal = process.stdout.isTTY && options.output !== 'json';
    const print = isTerminal
      ? (proxies: Proxies) =>
          process.stdout.write(
            screen(proxies, process.stdout.columns, process.stdout.rows, wantsColour(true, process.env)),
          )
      : changesPrinter(options.output);
    // The reader has closed stdout.
    process.stdout.once('error', () => process.exit());
    await watchProxies(client, filter, print);
  }
  if (options.check === true) {
    await check(client, filter, options);
    return;
  }
  const proxies = await readProxies(client, filter);
  if (isData(options.output)) await printData(options.output, { at: proxies.at, proxies: proxies.proxies });
  else if (options.output === 'name') printNames(proxies);
  else
    printLines(
      rowsOf(proxies).map((row) => cellsOf(row, proxies.now)),
      options.output,
    );
}

/** @throws Error, for exit status 1, if secrets need attention */
async function check(client: AdminClient, filter: ProxyFilter, options: ProxiesOptions): Promise<void> {
  const proxies = await readTroubles(client, filter, options.waiting === true);
  const { at, now, rows, troubled } = proxies;
  if (isData(options.output)) {
    const troubles = troubled.map(({ row, trouble }) => ({ ...jsonOf(row), trouble }));
    await printData(options.output, { at, secrets: rows.length, troubles });
  } else if (troubled.length > 0)
    printLines(
      troubled.map(({ row, trouble }) => cellsOf(row, now, trouble)),
      options.output,
    );
  else process.stdout.write(`nothing needs attention: ${allWell(rows, proxies)}\n`);
  if (troubled.length > 0) throw new Error(`${troubled.length} of ${rows.length} secrets need attention`);
}

/** The message if no secret needs attention. Held secrets among these only wait for an entry that never existed. */
function allWell(rows: readonly ProxyRow[], { proxies }: Proxies): string {
  const count = (number: number, one: string, more: string) => `${number} ${number === 1 ? one : more}`;
  const held = rows.filter(({ secret }) => secret.held !== null).length;
  const on = `${count(rows.length, 'secret', 'secrets')} on ${count(proxies.length, 'proxy', 'proxies')}`;
  if (held === 0) return on;
  return `${on}, ${held} of them held for an entry that never existed (${asCalled('sidekey proxies --state held')})`;
}

/** The node ids; a proxy without one is named by its process. */
function printNames({ proxies }: Proxies): void {
  const names = new Set(proxies.map(({ node_id: node, pid }) => node || `pid ${pid}`));
  for (const name of names) process.stdout.write(`${printable(name)}\n`);
}

/** @param rows cells under {@link HEADER} */
function printLines(rows: readonly (readonly string[])[], format: OutputFormat): void {
  const isWide = format === 'wide';
  const header = isWide ? HEADER : NARROW_HEADER;
  const narrow = rows.map(narrowed);
  const colourOf = (cell: string, column: number) => stateColour(cell, column, header);
  const options = wantsColour(process.stdout.isTTY, process.env) ? { colourOf } : {};
  const cells = isWide ? rows : narrow.map((row) => row.cells);
  for (const [at, line] of columnLines([header, ...cells], undefined, options).entries()) {
    const detail = isWide || at === 0 ? [] : narrow[at - 1]!.detail;
    process.stdout.write([line, ...detail].map((one) => `${one}\n`).join(''));
  }
}

function filterOf({ state, spiffeId, name, node, pid, uid }: ProxiesOptions): ProxyFilter {
  return { state, spiffe_id: spiffeId, name, node, pid: numberOf(pid), uid: numberOf(uid) };
}

function numberOf(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}

function digits(text: string): string {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('Give a number.');
  return text;
}
