/** Given settings, still as text, with their places. */

import { nearest, type Problem } from '../base/index.ts';
import { flagOf, SETTING_KEYS, SETTINGS, type SettingKey, variableOf } from './settings.ts';

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
  readonly given: ReadonlyMap<SettingKey, Given>;
  readonly problems: readonly Problem[];
}

/** Flags as commander gives them: a text, several, or true for a flag without a value. */
export type Flags = Readonly<Partial<Record<SettingKey, string | readonly string[] | boolean>>>;

export function fromFlags(flags: Flags, folder: string): Source {
  const given = new Map<SettingKey, Given>();
  for (const key of SETTING_KEYS) {
    const value = flags[key];
    if (value === undefined) continue;
    const texts = Array.isArray(value) ? value : [String(value)];
    given.set(key, { where: flagOf(key), texts, folder });
  }
  return { given, problems: [] };
}

const PREFIX = 'SIDEKEY_';

/** Variables of client commands; `serve` may run in the same shell and ignores them. */
const CLIENT_VARIABLES: readonly string[] = ['SIDEKEY_ADMIN_URL', 'SIDEKEY_TOKEN_FILE'];

/** Variables that Kubernetes sets in every pod for a service whose name begins with "sidekey". */
const SERVICE_LINK = /^SIDEKEY_(.+_)?(SERVICE_(HOST|PORT)(_.+)?|PORT(_\d+_.+)?)$/;

/** An empty variable counts as not set, as in compose files (`${NAME:-}`). Commas separate several values. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>, folder: string): Source {
  const given = new Map<SettingKey, Given>();
  const problems: Problem[] = [];
  const keys = new Map(SETTING_KEYS.map((key) => [variableOf(key).slice(PREFIX.length), key]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX)) continue;
    const name = variable.slice(PREFIX.length);
    const key = keys.get(name);
    if (key === undefined) {
      if (CLIENT_VARIABLES.includes(variable) || SERVICE_LINK.test(variable)) continue;
      const rule = suggestion(name, [...keys.keys()], PREFIX);
      problems.push({ path: variable, problem: 'no setting has this variable', rule });
    } else if (text !== undefined && text !== '') {
      const texts = SETTINGS[key].kind.takes === 'many' ? text.split(',').map((part) => part.trim()) : [text];
      given.set(key, { where: variable, texts, folder });
    }
  }
  return { given, problems };
}

/** The rule for an unknown name; `prefix` is the prefix of all names. */
export function suggestion(name: string, known: readonly string[], prefix = ''): string {
  const near = nearest(name, known);
  if (near !== undefined) return `did you mean ${prefix + near}?`;
  const words = new Set(wordsOf(name));
  const alike = known.filter((other) => wordsOf(other).some((word) => words.has(word))).slice(0, SHOWN_ALIKE);
  const all = 'sidekey serve --help lists all settings';
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
