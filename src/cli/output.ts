/** Output of commands: tables for people, JSON for scripts. */

import { type Command, Option } from 'commander';
import { printable, printableLines } from '../base/printable.ts';

export type OutputFormat = 'table' | 'json';

export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'),
  );
}

export function printJson(value: unknown): void {
  process.stdout.write(`${jsonText(value, 2)}\n`);
}

/** JSON that is safe on a terminal: control characters that JSON itself does not escape are escaped too. */
export function jsonText(value: unknown, indent?: number): string {
  return printableLines(JSON.stringify(value, undefined, indent));
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

/** Minimum widths of the columns, by position. */
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
