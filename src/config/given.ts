/** Given settings, still as text, with their places. */

import { nearest, type Problem } from '../base/index.ts';
import { flagOf, type SettingsTable, variableOf } from './settings.ts';

export interface Given {
  /** The setting as its user wrote it: `--data-dir`, `SIDEKEY_DATA_DIR`, `sidekey.yaml:3 dataDir`. */
  readonly where: string;
  /** As written; undefined if the value is not plain text. */
  readonly texts: readonly string[] | undefined;
  /** The base of relative paths. */
  readonly folder: string;
}

/** By setting. `problems` has faults of names and shapes; values are checked later. */
export interface Source {
  readonly given: ReadonlyMap<string, Given>;
  readonly problems: readonly Problem[];
}

/** Flags as commander gives them: a text, several, or true for a flag without a value. */
export type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>;

export function fromFlags({ settings }: SettingsTable, flags: Flags, folder: string): Source {
  const given = new Map<string, Given>();
  for (const key of Object.keys(settings)) {
    const value = flags[key];
    if (value === undefined) continue;
    const texts = typeof value === 'object' ? value : [String(value)];
    given.set(key, { where: flagOf(key), texts, folder });
  }
  return { given, problems: [] };
}

const PREFIX = 'SIDEKEY_';

/** Variables of client commands; a server or agent may run in the same shell and ignores them. */
const CLIENT_VARIABLES: readonly string[] = ['SIDEKEY_ADMIN_URL', 'SIDEKEY_TOKEN_FILE', 'SIDEKEY_ADMIN_CA_FILE'];

/** Variables that Kubernetes sets in every pod for a service whose name begins with "sidekey". */
const SERVICE_LINK = /^SIDEKEY_(.+_)?(SERVICE_(HOST|PORT)(_.+)?|PORT(_\d+_.+)?)$/;

/** An empty variable counts as not set, as in compose files (`${NAME:-}`). Commas separate several values. */
export function fromEnvironment(
  table: SettingsTable,
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
): Source {
  const { settings, command } = table;
  const given = new Map<string, Given>();
  const problems: Problem[] = [];
  const keys = new Map(Object.keys(settings).map((key) => [variableOf(key).slice(PREFIX.length), key]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX)) continue;
    const name = variable.slice(PREFIX.length);
    const key = keys.get(name);
    if (key === undefined) {
      if (CLIENT_VARIABLES.includes(variable) || SERVICE_LINK.test(variable)) continue;
      const rule = suggestion(command, name, [...keys.keys()], PREFIX);
      problems.push({ path: variable, problem: 'no setting has this variable', rule });
    } else if (text !== undefined && text !== '') {
      const texts = settings[key]!.kind.takes === 'many' ? text.split(',').map((part) => part.trim()) : [text];
      given.set(key, { where: variable, texts, folder });
    }
  }
  return { given, problems };
}

/** The rule for an unknown name. @param prefix of all names */
export function suggestion(command: string, name: string, known: readonly string[], prefix = ''): string {
  const near = nearest(name, known);
  if (near !== undefined) return `did you mean ${prefix + near}?`;
  const words = new Set(wordsOf(name));
  const alike = known.filter((other) => wordsOf(other).some((word) => words.has(word))).slice(0, SHOWN_ALIKE);
  const all = `sidekey ${command} --help lists all settings`;
  return alike.length === 0 ? all : `similar ones are ${alike.map((one) => prefix + one).join(', ')}; ${all}`;
}

/** Maximum number of settings that a message names. */
const SHOWN_ALIKE = 5;

/** The words of `dataDir`, `data-dir` or `DATA_DIR`, in lower case. */
function wordsOf(name: string): string[] {
  const parted = /[a-z]/.test(name) ? name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-') : name;
  return parted
    .toLowerCase()
    .split(/[_-]/)
    .filter((word) => word !== '');
}
