/** What commands print: tables for people, JSON for scripts. */

import { type Command, Option } from 'commander';

export type OutputFormat = 'table' | 'json';

export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'),
  );
}

export function printJson(value: unknown): void {
  process.stdout.write(`${jsonText(value, 2)}\n`);
}

/** JSON that is fit for a terminal: the control characters that JSON itself leaves as they are, are escaped too. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(/[\x7f-\x9f\u2028\u2029]/g, escaped);
}

/** Prints rows under a header, each column as wide as its widest cell. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  printColumns([header, ...rows]);
}

/** Prints `name  value` lines, one for each value of a list. */
export function printFields(fields: readonly (readonly [name: string, value: string | readonly string[]])[]): void {
  printColumns(fields.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
}

function printColumns(rows: readonly (readonly string[])[]): void {
  process.stdout.write(
    columnLines(rows)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

/** How wide the columns are at least, by place. */
export type Widths = readonly number[];

/** The widest cell of each column. */
export function widthsOf(rows: readonly (readonly string[])[], atLeast: Widths = []): number[] {
  const widths = [...atLeast];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, printable(cell).length);
  }
  return widths;
}

/** One line a row, each column as wide as its widest cell. */
export function columnLines(rows: readonly (readonly string[])[], widths: Widths = widthsOf(rows)): string[] {
  return rows.map((row) =>
    row
      .map((cell, column) => printable(cell).padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/** A value may hold anything; a terminal's control sequences and line breaks stay out of what is printed. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
