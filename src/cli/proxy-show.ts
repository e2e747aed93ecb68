/** Output of `sidekey proxies --watch`: the whole table on a terminal, otherwise only changes. */

import { columnLines, jsonText, type OutputFormat, type Widths, widthsOf } from './output.ts';
import { cellsOf, HEADER, type Proxies, type ProxyRow, rowsOf, stateColour } from './proxy-rows.ts';

const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** The table, cut to the size of the terminal, which it overwrites. */
export function screen(proxies: Proxies, columns: number, rows: number, isColoured = false): string {
  const all = rowsOf(proxies);
  // Room for the header, the summary line, and the cursor.
  const room = Math.max(1, rows - 3);
  const cells = [HEADER, ...all.slice(0, room).map((row) => cellsOf(row, proxies.now))];
  const options = { limit: columns, ...(isColoured ? { colourOf: stateColour } : {}) };
  const lines = columnLines(cells, undefined, options);
  const more = all.length > room ? `, ${all.length - room} of them below` : '';
  lines.push(`${all.length} secrets on ${proxies.proxies.length} proxies at ${proxies.at}${more}`.slice(0, columns));
  return `${HOME}${lines.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`;
}

/** A row as one object, for a line of JSON. */
export function jsonOf({ proxy, stream, secret }: ProxyRow): object {
  const { streams: _, ...who } = proxy;
  const { secrets: __, id, ...how } = stream;
  return { ...who, stream: id, ...how, ...secret };
}

const GONE = 'gone';

/** Prints a line for each secret at first, and then for each that was added, changed or removed. */
export function changesPrinter(format: OutputFormat): (proxies: Proxies) => void {
  let known = new Map<string, { readonly row: ProxyRow; readonly looks: string }>();
  let widths: Widths | undefined;
  return (proxies) => {
    const { now, at } = proxies;
    const current = new Map(rowsOf(proxies).map((row) => [keyOf(row), { row, looks: looksOf(row) }]));
    const changed = [...current].flatMap(([key, { row, looks }]) => (known.get(key)?.looks === looks ? [] : [row]));
    const gone = [...known].flatMap(([key, { row }]) => (current.has(key) ? [] : [row]));
    known = current;
    if (format === 'json') {
      const lines = [...changed.map(jsonOf), ...gone.map((row) => ({ ...jsonOf(row), state: GONE }))];
      for (const line of lines) process.stdout.write(`${jsonText({ at, ...line })}\n`);
      return;
    }
    const cells = [
      ...changed.map((row) => [at, ...cellsOf(row, now)]),
      ...gone.map((row) => [at, ...cellsOf(row, now, '').with(HEADER.indexOf('STATE'), GONE)]),
    ];
    if (widths === undefined) cells.unshift(['TIME', ...HEADER]);
    widths = widthsOf(cells, widths);
    for (const line of columnLines(cells, widths)) process.stdout.write(`${line}\n`);
  };
}

function keyOf({ proxy, stream, secret }: ProxyRow): string {
  return `${proxy.connection} ${stream.id} ${secret.name}`;
}

/** A text that changes whenever the secret does, but not with the passage of time. */
function looksOf({ secret: { state, version, serial, held, rejection } }: ProxyRow): string {
  return JSON.stringify([state, version, serial, held?.detail, rejection?.at]);
}
