/** Output of commands: tables for people, JSON, YAML and names for scripts. */

import { type Command, Option } from 'commander';
import { type Colour, coloured, printable, printableLines } from '../base/index.ts';

export type OutputFormat = 'table' | 'wide' | 'name' | 'json' | 'yaml';

const OUTPUT_FORMATS: readonly OutputFormat[] = ['table', 'wide', 'name', 'json', 'yaml'];

/** The formats of commands whose output is not a list of named objects. */
export const REPORT_FORMATS: readonly OutputFormat[] = ['table', 'json', 'yaml'];

export function addOutputOption(command: Command, formats = OUTPUT_FORMATS): Command {
  return command.addOption(new Option('-o, --output <format>', 'how to print').choices(formats).default('table'));
}

/** What a command prints, in each format. */
export interface View {
  /** The output in the formats JSON and YAML. */
  readonly value: unknown;
  /** The names or ids by which other commands find the objects; printed one per line. */
  readonly names: readonly string[];
  /** Prints a table for people. @param wide with the columns that the narrow table leaves out */
  table(wide: boolean): void;
}

export async function printView(format: OutputFormat, { value, names, table }: View): Promise<void> {
  if (isData(format)) await printData(format, value);
  else if (format === 'name') for (const name of names) process.stdout.write(`${printable(name)}\n`);
  else table(format === 'wide');
}

type DataFormat = Extract<OutputFormat, 'json' | 'yaml'>;

export function isData(format: OutputFormat): format is DataFormat {
  return format === 'json' || format === 'yaml';
}

export async function printData(format: DataFormat, value: unknown): Promise<void> {
  if (format === 'json') printJson(value);
  else process.stdout.write(await yamlText(value));
}

/** YAML that is safe on a terminal. JSON is YAML too, and escapes what YAML would print unchanged. */
async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  const text = stringify(value, { lineWidth: 0 });
  return printableLines(text) === text ? text : `${jsonText(value, 2)}\n`;
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

/** The width of each column: that of its widest cell. */
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

export interface LineOptions {
  readonly colourOf?: (cell: string, column: number) => Colour | undefined;
  /** Maximum length of a line in characters, not counting colours. */
  readonly limit?: number;
}

/** Blanks between columns. */
const GAP = 2;

/** One line per row, each column as wide as its widest cell. */
export function columnLines(
  rows: readonly (readonly string[])[],
  widths?: Widths,
  { colourOf = () => undefined, limit = Number.POSITIVE_INFINITY }: LineOptions = {},
): string[] {
  const printed = rows.map((row) => row.map(printable));
  const wide = widths ?? widest(printed);
  return printed.map((row) => {
    const last = row.findLastIndex((cell) => cell !== '');
    let room = limit;
    const cells = row.slice(0, last + 1).map((whole, column) => {
      const cell = whole.slice(0, room);
      room -= cell.length;
      const blanks = column === last ? 0 : Math.min(room, Math.max(0, wide[column]! - whole.length) + GAP);
      room -= blanks;
      const colour = colourOf(whole, column);
      return `${colour === undefined || cell === '' ? cell : coloured(cell, colour)}${' '.repeat(blanks)}`;
    });
    return cells.join('');
  });
}
