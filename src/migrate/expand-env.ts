/** Replaces references to environment variables, as SPIRE does with -expandEnv. @see Go's os.Expand */

import { SidekeyError } from '../base/index.ts';

const REFERENCE = /\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*)|([*#$@!?0-9-]))/g;

/** @throws ERR_CONFIG for a variable that is not set: SPIRE would use an empty text */
export function expandEnv(text: string, env: Readonly<Record<string, string | undefined>>, file: string): string {
  return text.replaceAll(REFERENCE, (_, braced?: string, plain?: string, special?: string, at?: unknown) => {
    const name = braced ?? plain ?? special!;
    if (name === '$') return '$';
    const value = env[name];
    if (value !== undefined) return value;
    const line = text.slice(0, Number(at)).split('\n').length;
    const problem = `the environment variable ${name} is not set`;
    const rule = 'with --expand-env give the variables that SPIRE was started with';
    throw SidekeyError.badInput([{ path: `${file}:${line}`, problem, rule }], 'ERR_CONFIG');
  });
}
