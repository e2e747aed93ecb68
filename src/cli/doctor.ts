/** `sidekey doctor`: prints each fault with its effect and remedy. */

import { type Command, InvalidArgumentError } from 'commander';
import { type Finding, isShownWhole, printable } from '../base/index.ts';
import type { CheckResult } from '../doctor/index.ts';
import { wordsAsCalled } from './called-as.ts';
import type { DoctorOptions } from './doctor-checks.ts';
import { isData, printData, REPORT_FORMATS } from './output.ts';
import { addClientOptions, aimed, type ClientOptions } from './target.ts';

export function addDoctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .description(
      'look for faults, by default of the server and its host, and print a remedy for each; exit status 1 if there is an error',
    )
    .option(
      '--envoy <file>',
      "check an Envoy's bootstrap (- is stdin), also against the entries of the server if it answers; repeat for more",
      (value, before: string[] = []) => [...before, value],
    )
    .option(
      '--envoy-admin <url>',
      'check a running Envoy by its admin port: compare its secrets with those that the server has sent',
      (value) => {
        if (URL.canParse(value) && /^http:/.test(value)) return value;
        throw new InvalidArgumentError('Give a URL, such as http://127.0.0.1:9901.');
      },
    );
  addClientOptions(command, REPORT_FORMATS).action(async (options: DoctorOptions) => {
    const { checksFor, runChecks, summary } = await import('./doctor-checks.ts');
    const { findings, skipped } = await runChecks(await checksFor(options));
    const outcome = {
      findings: findings.map((finding) => aim(finding, options)),
      skipped: skipped.map(({ what, why }) => ({ what, why: wordsAsCalled(why) })),
    };
    if (isData(options.output)) await printData(options.output, outcome);
    else printOutcome(outcome, summary(outcome.findings));
    if (outcome.findings.some(({ severity }) => severity === 'error')) {
      throw new Error(`found ${summary(outcome.findings)}`);
    }
  });
}

function aim(finding: Finding, options: ClientOptions): Finding {
  const { why, fix, command } = finding;
  const told = { ...finding, why: wordsAsCalled(why), fix: wordsAsCalled(fix) };
  return command === undefined ? told : { ...told, command: aimed(command, options) };
}

function printOutcome({ findings, skipped }: CheckResult, summary: string): void {
  const blocks = [
    ...findings.map(blockOf),
    ...skipped.map(({ what, why }) => `not checked: ${printable(what)}\n  because: ${printable(why)}`),
    ...(findings.some(({ severity }) => severity === 'error') ? [] : [`found ${summary}`]),
  ];
  process.stdout.write(`${blocks.join('\n\n')}\n`);
}

function blockOf({ place, line, severity, problem, rule, why, fix, command }: Finding): string {
  const where = line === undefined ? place : `${place}:${line}`;
  return [
    `${printable(where)}: ${severity}: ${printable(problem)} [${rule}]`,
    `  why: ${printable(why)}`,
    `  fix: ${printable(fix)}${isShownWhole(fix) ? '' : ` (${UNSHOWN})`}`,
    ...(command === undefined ? [] : [isShownWhole(command) ? `  run: ${command}` : `  no command: ${UNSHOWN}`]),
  ].join('\n');
}

/** Why a command is not shown: copied from the screen, it would be a different command. */
const UNSHOWN =
  'a name in it has characters that a terminal does not show unchanged, so they are escaped here; --output json has the exact name';
