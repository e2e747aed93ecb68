/** Lines of the log for people: `12:34:56 warn  message  key=value`. */

import { type Colour, coloured, printable } from '../base/index.ts';

const COLOURS: Readonly<Record<string, Colour>> = {
  trace: 'dim',
  debug: 'dim',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
};

/** The same line as text. @param line one JSON line @param isColoured whether the level has a colour */
export function textLine(line: string, isColoured: boolean): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = String(level).padEnd(5);
  const colour = COLOURS[String(level)];
  const parts = [
    String(time).slice(11, 19),
    isColoured && colour !== undefined ? coloured(name, colour) : name,
    printable(String(msg ?? '')),
    ...Object.entries(fields).map(([key, value]) => `${printable(key)}=${shown(value)}`),
  ];
  return `${parts.join(' ')}\n`;
}

/** Texts without spaces and quotes stay as they are; an error is its message. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) {
    const { message, code } = value as { message: unknown; code?: unknown };
    return shown(code === undefined ? String(message) : `${String(message)} (${String(code)})`);
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const isPlain = typeof value !== 'string' || /^[^\s"=]+$/.test(text);
  return printable(isPlain ? text : JSON.stringify(text));
}
