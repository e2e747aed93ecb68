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

/** JSON that is fit for a terminal: what JSON itself leaves as it is, is escaped too. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent);
  // The line breaks are those between members: in a value they are escaped.
  return text.replace(UNSEEN, (found) => (found === '\n' ? found : escaped(found)));
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
  return widest(
    rows.map((row) => row.map(printable)),
    atLeast,
  );
}

function widest(printed: readonly (readonly string[])[], atLeast: Widths = []): number[] {
  const widths = [...atLeast];
  for (const row of printed) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return widths;
}

/** One line a row, each column as wide as its widest cell. */
export function columnLines(rows: readonly (readonly string[])[], widths?: Widths): string[] {
  const printed = rows.map((row) => row.map(printable));
  const wide = widths ?? widest(printed);
  return printed.map((row) =>
    row
      .map((cell, column) => cell.padEnd(wide[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/**
 * What a terminal obeys or does not show: control characters, line breaks, what turns the order of reading around
 * (UAX #9), and what is invisible, so that two names look the same.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

const PLAIN = /^[ -~]*$/;

/** A value may hold anything; what a terminal obeys or does not show stands escaped in what is printed. */
export function printable(text: string): string {
  // Nearly all is, which is seen in a fraction of the time.
  return PLAIN.test(text) ? text : text.replace(UNSEEN, escaped);
}

/** As in JSON, by UTF-16 units. */
function escaped(character: string): string {
  const units = character.split('').map((unit) => unit.charCodeAt(0));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
