/** The fields of an entry as flags of the command line, by the table of fields. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { DURATION_RULE, parseDuration } from '../base/index.ts';
import { ENTRY_FIELD_LIST, type Flag } from '../registry/index.ts';
import { type Selector, splitSelector } from '../spiffe/index.ts';

/** Values from commander, by flag name. `false`: the flag's `--no-` form. */
export type EntryFlags = Readonly<Record<string, unknown>>;

interface FieldFlag {
  /** The field's name in JSON. */
  readonly name: string;
  readonly flag: Flag;
}

const FLAGS: readonly FieldFlag[] = ENTRY_FIELD_LIST.flatMap(([, { name, flag }]) =>
  flag === undefined ? [] : [{ name, flag }],
);

/** Readers of a flag's text; `before` is the value of the flag's earlier occurrences. */
const PARSERS: Readonly<Record<Flag['kind'], ((text: string, before: never) => unknown) | undefined>> = {
  text: undefined,
  switch: undefined,
  texts: collect,
  selectors: selector,
  duration: seconds,
  instant,
};

/** @param isUpdate whether the entry exists already, so that `--no-` forms can remove values */
export function addEntryFlags(command: Command, isUpdate = false): Command {
  for (const { flag } of FLAGS) {
    const option = new Option(flag.option, flag.help);
    const parser = PARSERS[flag.kind];
    if (parser !== undefined) option.argParser(parser as (text: string, before: unknown) => unknown);
    command.addOption(option);
    if (flag.no === undefined || (flag.noOnUpdate === true && !isUpdate)) continue;
    command.option(`--no-${option.long!.slice(2)}`, flag.no);
  }
  return command;
}

/** The flag of the field at a problem's path: `--selector` for `/selectors/0/value`; other paths are returned unchanged. */
export function flagAt(path: string): string {
  const name = path.split('/')[1];
  const flag = FLAGS.find((one) => one.name === name)?.flag;
  if (flag !== undefined) return new Option(flag.option).long!;
  return name === 'id' ? '--entry-id' : path;
}

/** The given fields as JSON for the admin API. */
export function flagsToJson(flags: EntryFlags): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const { name, flag } of FLAGS) {
    const value = flags[new Option(flag.option).attributeName()];
    if (value === undefined) continue;
    json[name] = flag.kind === 'texts' && value === false ? [] : value;
  }
  return json;
}

/** The `--no-` form clears the list; later flags add to it again. */
function collect(value: string, before: readonly string[] | false | undefined): readonly string[] {
  return [...(before || []), value];
}

function selector(text: string, before: readonly Selector[] | undefined): readonly Selector[] {
  const parsed = splitSelector(text);
  if (parsed === undefined) {
    throw new InvalidArgumentError(
      'A selector is type:value, such as unix:uid:1000, or !type:value for one to exclude.',
    );
  }
  const placeholder = /^!?unix:[a-z_]+:(USER|UID|GROUP|GID|PATH)$/.exec(text)?.[1];
  if (placeholder !== undefined) {
    const instead = `Replace ${placeholder} by the ${PLACEHOLDERS[placeholder]} of the workload; sidekey explain --pid PID shows it.`;
    throw new InvalidArgumentError(instead);
  }
  return [...(before ?? []), parsed];
}

/** The placeholders in commands that are printed for a workload whose facts are not known. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  USER: 'user',
  UID: 'uid',
  GROUP: 'group',
  GID: 'gid',
  PATH: "path of the program's file",
};

function seconds(text: string): number {
  const value = parseDuration(text);
  if (value === undefined) throw new InvalidArgumentError(`${DURATION_RULE}.`);
  return value;
}

function instant(text: string): string | number {
  if (text === 'never') return 0;
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}
