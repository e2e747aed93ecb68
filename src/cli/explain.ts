/** `sidekey explain`: which identities a caller has, and why it lacks others. */

import { type Command, InvalidArgumentError } from 'commander';
import type { DecisionJson, ExplanationJson } from '../admin/index.ts';
import { isSecret } from '../attest/index.ts';
import { printable, shellQuote } from '../base/index.ts';
import type { AdminClient, QueryOf } from '../client/index.ts';
import { splitSelector } from '../spiffe/index.ts';
import { asCalled, wordsAsCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import { decisionLines, explanationLines } from './explain-text.ts';
import { isData, printData, REPORT_FORMATS } from './output.ts';
import { addClientOptions, aimed, askingAgent, type ClientOptions, openClient } from './target.ts';

interface ExplainOptions extends ClientOptions {
  readonly pid?: string;
  readonly container?: string;
  readonly selector?: readonly string[];
  readonly contained?: boolean;
  readonly spiffeId?: string;
  readonly limit?: string;
  readonly agent?: string;
}

export function addExplainCommand(program: Command): void {
  const command = program
    .command('explain [decision]')
    .description('explain which identities a process, a container or a set of selectors has, and why it lacks others')
    .option('--pid <pid>', 'pid of a running process', digits)
    .option('--container <name>', 'a running container, by name or id')
    .option('--selector <type:value>', 'assume a caller with this selector; repeat for more', selector)
    .option('--contained', 'with --selector: assume that the caller is in a container')
    .option('--spiffe-id <id>', 'the SPIFFE ID that the caller should have')
    .option('--agent <id>', 'a caller on the host of this agent (its SPIFFE ID), as the agent answers')
    .option('--limit <number>', 'how many near misses to show (default: 10)', digits);
  addClientOptions(command, REPORT_FORMATS).action(async (decision: string | undefined, options: ExplainOptions) => {
    const { pid, container, selector, spiffeId, limit } = options;
    const subjects = [decision, pid, container, selector].filter((one) => one !== undefined);
    if (subjects.length !== 1)
      throw new UsageError('give exactly one of --pid, --container, --selector or a decision id');
    if (decision !== undefined && options.agent !== undefined) {
      throw new UsageError("a decision id can't be combined with --agent: explain it on the agent's host");
    }
    if (decision !== undefined) await explainDecision(decision, options);
    else {
      const { contained } = options;
      const query = { pid: numberOf(pid), container, selector, contained, spiffe_id: spiffeId, limit: numberOf(limit) };
      await explainSubject(query, options);
    }
  });
}

async function explainSubject(query: QueryOf<'explain'>, options: ExplainOptions): Promise<void> {
  const client = askingAgent(await openClient(options), options.agent);
  const explanation = await ask(client, query, options);
  if (isData(options.output)) await printData(options.output, explanation);
  else print(explanationLines(explanation));
}

/** Asks the server, and directs the proposed commands at the same server. */
async function ask(client: AdminClient, query: QueryOf<'explain'>, options: ClientOptions): Promise<ExplanationJson> {
  const explanation = await client.explain({ query });
  // Servers of earlier versions have no agents.
  const { server = null } = explanation;
  const meant = (fix: string) => (server === null ? aimed(fix, options) : asCalled(fix));
  return {
    ...explanation,
    near: explanation.near.map((miss) => ({
      ...miss,
      fix: miss.fix && meant(miss.fix),
      fixes: miss.fixes.map(meant),
      note: miss.note && wordsAsCalled(miss.note),
    })),
    fixes: explanation.fixes.map(meant),
    note: explanation.note && wordsAsCalled(explanation.note),
  };
}

/** Prints a recorded decision, and the result for the same facts now. */
async function explainDecision(id: string, options: ExplainOptions): Promise<void> {
  const client = await openClient(options);
  const decision = await client.getDecision({ path: { id } });
  const facts = decision.facts.map(({ selector }) => selector);
  const query = {
    selector: facts,
    contained: decision.contained === null ? undefined : true,
    spiffe_id: decision.spiffe_id ?? undefined,
    limit: numberOf(options.limit),
  };
  const now = facts.length > 0 ? await ask(client, query, options) : null;
  const remark = valuesRemark(decision, facts, options);
  if (isData(options.output)) await printData(options.output, { decision, now, remark });
  else
    print([
      ...decisionLines(decision),
      ...(now === null
        ? []
        : ['', 'the result for the same facts now', ...(remark === null ? [] : [remark]), ...explanationLines(now)]),
    ]);
}

/** A remark if the facts include environment selectors: without recorded values, entries with one count as not matching. */
function valuesRemark(
  { pid, spiffe_id: spiffeId }: DecisionJson,
  facts: readonly string[],
  options: ClientOptions,
): string | null {
  if (!facts.map(splitSelector).some((fact) => fact !== undefined && isSecret(fact))) return null;
  const command = ['sidekey', 'explain', '--pid', String(pid), ...(spiffeId === null ? [] : ['--spiffe-id', spiffeId])];
  const itself = aimed(command.map(shellQuote).join(' '), options);
  return `values of docker:env are not recorded, so an entry with such a selector counts as not matching; while the process runs, ask about the process itself: ${itself}`;
}

function numberOf(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${printable(line)}\n`).join(''));
}

function selector(text: string, before: readonly string[] = []): readonly string[] {
  if (splitSelector(text) === undefined)
    throw new InvalidArgumentError('A selector is type:value, such as unix:uid:1000.');
  return [...before, text];
}

function digits(text: string): string {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('Give a number.');
  return text;
}
