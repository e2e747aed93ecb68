/** Colours on a terminal. @see https://no-color.org */

const CODES = { red: 31, yellow: 33, green: 32, dim: 2, bold: 1 } as const;

export type Colour = keyof typeof CODES;

/** Whether colours are wanted on this terminal; any other stream has none. */
export function wantsColour(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  return isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** The text in a colour. It must be safe for a terminal already. */
export function coloured(text: string, colour: Colour): string {
  return `\x1b[${CODES[colour]}m${text}\x1b[0m`;
}
