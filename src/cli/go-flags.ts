/** Flags as Go's flag package reads them (`-name value`, `-name=value`, `--name`), with its messages. */

export interface GoFlag {
  /** The word for the value in the usage; undefined: a boolean flag. */
  readonly value: string | undefined;
  readonly usage: string;
  /** As the usage shows it; undefined: none. */
  readonly byDefault?: string;
  /** Why the text is no value of this flag; undefined if it is one. */
  readonly problem?: (text: string) => string | undefined;
}

/** The given flags by name; those of booleans are `true` or `false`. */
export type GoFlags = ReadonlyMap<string, string>;

/** Wrong usage. Both lines and the usage go to stderr. */
export class GoFlagError extends Error {}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map((text) => [text, false] as const),
]);

/** What Go's strconv.ParseBool reads; undefined if it is no boolean. */
export function parseGoBoolean(text: string): boolean | undefined {
  return BOOLEANS.get(text);
}

/** Reads flags up to the first argument that is none. @throws GoFlagError */
export function parseGoFlags(args: readonly string[], known: Readonly<Record<string, GoFlag>>): GoFlags {
  const found = new Map<string, string>();
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at]!;
    if (!/^--?./.test(arg) || arg === '--') break;
    const [, name = '', given] = /^--?([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === '' || name.startsWith('-')) throw new GoFlagError(`bad flag syntax: ${arg}`);
    if (!Object.hasOwn(known, name)) {
      if (name === 'h' || name === 'help') throw new GoFlagError('flag: help requested');
      throw new GoFlagError(`flag provided but not defined: -${name}`);
    }
    const { value, problem } = known[name]!;
    if (value === undefined) {
      const read = given === undefined || parseGoBoolean(given);
      if (read === undefined)
        throw new GoFlagError(`invalid boolean value ${JSON.stringify(given)} for -${name}: parse error`);
      found.set(name, String(read));
      continue;
    }
    let text = given;
    if (text === undefined) {
      at += 1;
      text = args[at];
    }
    if (text === undefined) throw new GoFlagError(`flag needs an argument: -${name}`);
    const why = problem?.(text);
    if (why !== undefined) throw new GoFlagError(`invalid value ${JSON.stringify(text)} for flag -${name}: ${why}`);
    found.set(name, text);
  }
  return found;
}

/** The usage as Go prints it. */
export function goUsage(command: string, known: Readonly<Record<string, GoFlag>>): string {
  const flags = Object.entries(known).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = flags.map(([name, { value, usage, byDefault }]) => {
    const end = byDefault === undefined ? '' : ` (default ${byDefault})`;
    return `  -${name}${value === undefined ? '' : ` ${value}`}\n    \t${usage}${end}\n`;
  });
  return `Usage of ${command}:\n${lines.join('')}`;
}
