/** Checks the files that a reload reads: their faults now, and what the last reload could not apply. */

import type { DoctorJson } from '../admin/index.ts';
import { type Finding, shellQuote } from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';

type Known = Partial<Pick<DoctorJson, 'entries_file' | 'failed_reloads'>> & Pick<DoctorJson, 'inputs' | 'pid'>;

/** @param command the command that reloads the server, if it is known */
export function judgeReload(known: Known, command: string | undefined): CheckResult {
  const { entries_file: file = null, inputs } = known;
  const skipped: Skipped[] =
    file === null || file.unchecked === null
      ? []
      : [{ what: `the entries in ${file.path}`, why: `${file.unchecked}: sidekey serve --check checks it` }];
  const findings = [...inputs.flatMap(judgeReplaced), ...judgeSettings(known), ...judgeEntriesFile(known, command)];
  return { findings, skipped };
}

/** A file that is mounted by itself stays the old one when its name outside gets a new file. */
function judgeReplaced({ setting, path: place, replaced = false }: DoctorJson['inputs'][number]): Finding[] {
  if (!replaced) return [];
  return [
    {
      rule: 'input-replaced',
      severity: 'warning',
      place,
      problem: `the file of ${setting} was replaced or deleted outside, and the server still sees the old one: it is mounted as a single file`,
      why: 'sed -i and most editors write a new file, so a reload reads the old content and changes nothing',
      fix: 'mount the folder that has the file, not the file itself, and create the container anew (docker compose up -d); until then, restart the container after each change',
    },
  ];
}

function judgeEntriesFile(
  { entries_file: file = null, failed_reloads: failed = [], pid }: Known,
  command: string | undefined,
): Finding[] {
  if (file === null) return [];
  const failure = failed.find(({ part }) => part === 'entries');
  const reload = command ?? `kill -HUP ${pid}`;
  const head = { severity: 'error', place: file.path } as const;
  if (file.problems.length > 0) {
    const kept = failure === undefined ? 'a reload would be refused' : `the reload at ${failure.at} was refused`;
    return file.problems.map((problem) => ({
      rule: 'entries-file',
      ...head,
      ...located(problem, file.path),
      why: `${kept}, so the entries in use are the former ones; a restart would fail, and then no process gets an identity`,
      fix: `correct the file, then reload it: ${reload}`,
    }));
  }
  if (failure !== undefined) {
    return [
      {
        rule: 'entries-not-reloaded',
        ...head,
        problem: `the reload at ${failure.at} was refused: ${failure.problems.join('; ')}`,
        why: 'the entries in use are the former ones; the file has no fault now',
        fix: 'reload it',
        command,
      },
    ];
  }
  if (file.pending === 0) return [];
  return [
    {
      rule: 'entries-not-applied',
      severity: 'info',
      place: file.path,
      problem: `it differs from the entries in use, by ${file.pending} ${file.pending === 1 ? 'entry' : 'entries'}`,
      why: 'a change of the file takes effect at a reload or a restart',
      fix: 'reload it; sidekey serve --check shows what that would change',
      command,
    },
  ];
}

/** A problem's path is `FILE:LINE /entries/0/…`, or `FILE`; the file may be in a folder. */
function located(
  { path, problem, rule }: { readonly path: string; readonly problem: string; readonly rule: string },
  file: string,
): Pick<Finding, 'place' | 'problem' | 'line'> {
  const rest = path.startsWith(file) ? path.slice(file.length) : ` ${path}`;
  const [, inside = '', line, pointer = ''] = /^(\/[^:]*?)?(?::(\d+)(?::\d+)?)?(?: (\/.*))?$/.exec(rest) ?? [];
  const text = `${pointer === '' ? '' : `${pointer}: `}${problem}${rule === '' ? '' : `; ${rule}`}`;
  return { place: `${file}${inside}`, problem: text, ...(line === undefined ? {} : { line: Number(line) }) };
}

function judgeSettings({ failed_reloads: failed = [], inputs }: Known): Finding[] {
  const config = inputs.find(({ setting }) => setting === '--config')?.path;
  return failed.flatMap(({ part, at, problems }): Finding[] => {
    if (part === 'entries') return [];
    const problem = `at the reload at ${at}: ${problems.join('; ')}`;
    if (part === 'settings') {
      return [
        {
          rule: 'settings-invalid',
          severity: 'error',
          place: config ?? 'the settings',
          problem,
          why: 'a restart would fail, and then no process gets an identity',
          fix: `correct them, and check them with the flags of the server: sidekey serve --check${config === undefined ? ' …' : ` --config ${shellQuote(config)}`}; then reload the server`,
        },
      ];
    }
    const why = 'the former token of the admin API stays valid';
    const fix = 'correct the file, then reload the server';
    return [{ rule: 'token-not-reloaded', severity: 'error', place: 'the admin token', problem, why, fix }];
  });
}
