/** The state of proxies as rows: one for each secret of each stream. */

import type { ProxyJson, SecretJson, StreamJson } from '../admin/index.ts';
import { type Colour, formatDuration, printable } from '../base/index.ts';
import type { AdminClient, QueryOf } from '../client/index.ts';
import { wordsAsCalled } from './called-as.ts';

/** A secret on a stream of a proxy. */
export interface ProxyRow {
  readonly proxy: ProxyJson;
  readonly stream: StreamJson;
  readonly secret: SecretJson;
}

export interface Proxies {
  /** The time of the server, in milliseconds since the epoch. */
  readonly now: number;
  readonly at: string;
  readonly proxies: readonly ProxyJson[];
}

/** Which proxies and secrets to read. */
export type ProxyFilter = Omit<QueryOf<'listProxies'>, 'limit' | 'cursor'>;

/** Reads every page of the matching proxies. @throws AdminError */
export async function readProxies(client: AdminClient, filter: ProxyFilter): Promise<Proxies> {
  const proxies: ProxyJson[] = [];
  for (let cursor: number | undefined; ; ) {
    const page = await client.listProxies({ query: { ...filter, limit: 1_000, cursor } });
    for (const proxy of page.proxies) proxies.push(proxy);
    if (page.next_cursor === '') return { now: Date.parse(page.at), at: page.at, proxies };
    cursor = Number(page.next_cursor);
  }
}

/** Sorted by node id, then pid; within a proxy by the order of its requests. */
export function rowsOf({ proxies }: Proxies): ProxyRow[] {
  return proxies
    .toSorted((a, b) => compare(a.node_id ?? '', b.node_id ?? '') || a.pid - b.pid)
    .flatMap((proxy) => proxy.streams.flatMap((stream) => stream.secrets.map((secret) => ({ proxy, stream, secret }))));
}

export const HEADER = ['NODE', 'PID', 'VARIANT', 'NAME', 'STATE', 'VERSION', 'SERIAL', 'EXPIRES', 'DETAIL'];

/** The colour of a cell; only states that need attention have one. */
export function stateColour(cell: string, column: number, header = HEADER): Colour | undefined {
  if (header[column] !== 'STATE') return undefined;
  if (cell === 'held') return 'yellow';
  return cell === 'rejected' || cell === 'stale' ? 'red' : undefined;
}

/** The columns of the narrow table, by their names in {@link HEADER}. */
export const NARROW_HEADER = ['NODE', 'PID', 'NAME', 'STATE', 'EXPIRES'];

const WIDTH = 80;
const INDENT = '    ';

/** The narrow cells of a row, and its detail as lines of at most 80 characters, unless a word is longer. */
export function narrowed(cells: readonly string[]): { readonly cells: string[]; readonly detail: string[] } {
  const detail = cells[HEADER.indexOf('DETAIL')]!;
  return {
    cells: NARROW_HEADER.map((name) => cells[HEADER.indexOf(name)]!),
    detail: detail === '-' ? [] : wrapped(printable(detail)),
  };
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > WIDTH) lines.push(`${INDENT}${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** The cells under {@link HEADER}; none is empty. */
export function cellsOf(row: ProxyRow, now: number, detail = detailOf(row, now)): string[] {
  const { proxy, stream, secret } = row;
  const { expires_at: expiresAt } = secret;
  const cells = [
    proxy.node_id,
    String(proxy.pid),
    stream.service === 'ads' ? `ads-${stream.variant}` : stream.variant,
    secret.name,
    secret.state,
    secret.version,
    secret.serial,
    expiresAt === null ? null : untilOrSince(Date.parse(expiresAt) - now),
    wordsAsCalled(detail),
  ];
  return cells.map((cell) => cell || '-');
}

/** Why a secret is not in sync. */
function detailOf({ secret }: ProxyRow, now: number): string {
  if (secret.held !== null) return `${secret.held.reason}: ${secret.held.detail}`;
  if (secret.rejection !== null) return secret.rejection.message;
  if (secret.state !== 'stale' || secret.sent_at === null) return '';
  return `sent ${untilOrSince(Date.parse(secret.sent_at) - now)}, and not answered`;
}

/** `in 5m3s` or `5m3s ago`, in whole seconds. */
export function untilOrSince(milliseconds: number): string {
  const duration = formatDuration(Math.floor(Math.abs(milliseconds) / 1_000));
  return milliseconds < 0 ? `${duration} ago` : `in ${duration}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
