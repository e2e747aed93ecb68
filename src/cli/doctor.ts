/** `sidekey doctor`: what is wrong, what comes of it, and what mends it. */

import type { Command } from 'commander';
import type { AliasJson } from '../admin/client.ts';
import { SystemClock } from '../base/clock.ts';
import type { Finding } from '../base/finding.ts';
import type { Check, Outcome } from '../doctor/check.ts';
import type { Names } from '../doctor/envoy-file.ts';
import { allEntries } from './entry.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { printable, printJson } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface DoctorOptions extends ClientOptions {
  readonly envoy?: readonly string[];
}

export function addDoctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .description('look for what is wrong and tell what mends it; exit status 1 when there is an error')
    .option(
      '--envoy <file>',
      "an Envoy's bootstrap (- is stdin), held against the entries of the server if it answers; again for more",
      (value, before: string[] = []) => [...before, value],
    );
  addClientOptions(command).action(async (options: DoctorOptions) => {
    const { runChecks, summary } = await import('../doctor/check.ts');
    const outcome = await runChecks(await checksFor(options));
    if (options.output === 'json') printJson(outcome);
    else printOutcome(outcome, summary(outcome.findings));
    if (outcome.findings.some(({ severity }) => severity === 'error')) {
      throw new Error(`found ${summary(outcome.findings)}`);
    }
  });
}

async function checksFor(options: DoctorOptions): Promise<Check[]> {
  if (options.envoy === undefined) throw new UsageError('give what to look at: --envoy FILE');
  const { envoyFileCheck } = await import('../doctor/envoy-file.ts');
  let names: Promise<Names> | undefined;
  const once = () => {
    names ??= namesNow(options);
    return names;
  };
  return Promise.all(
    options.envoy.map(async (file) => {
      const text = (await readInput('--envoy', file)).toString('utf8');
      return envoyFileCheck(file === '-' ? 'stdin' : file, text, once);
    }),
  );
}

/** Entries that have not expired, and aliases. A server that isn't there is no failure: a bootstrap is written anywhere. */
async function namesNow(options: ClientOptions): Promise<Names> {
  try {
    const now = new SystemClock().now();
    const entries = await allEntries(options, new URLSearchParams());
    const { aliases } = await (await openClient(options)).json<{ aliases: readonly AliasJson[] }>('GET', '/v1/aliases');
    return {
      aliases,
      entries: entries.filter(({ expires_at }) => expires_at === null || Date.parse(expires_at) > now),
    };
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === 'ERR_UNREACHABLE') return { unknown: (thrown as Error).message };
    throw thrown;
  }
}

function printOutcome({ findings, skipped }: Outcome, summary: string): void {
  const blocks = [
    ...findings.map(blockOf),
    ...skipped.map(({ what, why }) => `not looked at: ${printable(what)}\n  because: ${printable(why)}`),
    ...(findings.some(({ severity }) => severity === 'error') ? [] : [`found ${summary}`]),
  ];
  process.stdout.write(`${blocks.join('\n\n')}\n`);
}

function blockOf({ place, line, severity, problem, rule, why, fix }: Finding): string {
  const where = line === undefined ? place : `${place}:${line}`;
  return [
    `${printable(where)}: ${severity}: ${printable(problem)} [${rule}]`,
    `  why: ${printable(why)}`,
    `  fix: ${printable(fix)}`,
  ].join('\n');
}
