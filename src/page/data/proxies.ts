/** All proxies, read once and then kept by the changes that the server sends. */

import { effect, type Signal, signal } from '@preact/signals';
import type { PageChanges, ProxyRow, ProxyRows } from '../../gen/admin-api.ts';
import { json } from '../shell/api.ts';
import { setClock } from '../shell/clock.ts';
import { epoch, onChange } from '../shell/live.ts';

export interface Proxies {
  /** Oldest connection first; undefined until they are read. */
  readonly rows: readonly ProxyRow[] | undefined;
  /** Why the last reading failed. */
  readonly error: unknown;
}

const proxies = signal<Proxies>({ rows: undefined, error: undefined });
const byId = new Map<string, ProxyRow>();
/** Changes that came while the rows were read; undefined at other times. */
let meanwhile: PageChanges[] | undefined;
let reading: AbortController | undefined;
let isStarted = false;
let isDrawing = false;

/** The rows from now on; the first call starts reading them. */
export function allProxies(): Signal<Proxies> {
  if (!isStarted) {
    isStarted = true;
    onChange(take);
    effect(() => {
      epoch.value;
      void readProxies();
    });
  }
  return proxies;
}

export async function readProxies(): Promise<void> {
  reading?.abort();
  reading = new AbortController();
  const { signal } = reading;
  meanwhile = [];
  try {
    const { rows, cursor, at } = await json<ProxyRows>('GET', '/v1/page/proxies', { signal });
    setClock(at);
    byId.clear();
    for (const row of rows) byId.set(row.connection, row);
    for (const change of meanwhile) if (change.cursor > cursor) apply(change);
    meanwhile = undefined;
    publish();
  } catch (error) {
    if (signal.aborted) return;
    meanwhile = undefined;
    proxies.value = { ...proxies.peek(), error };
  }
}

function take(change: PageChanges): void {
  if (meanwhile !== undefined) meanwhile.push(change);
  else if (apply(change) && !isDrawing) {
    isDrawing = true;
    requestAnimationFrame(() => {
      isDrawing = false;
      publish();
    });
  }
}

/** Whether a row changed. */
function apply({ rows, gone }: PageChanges): boolean {
  for (const row of rows) byId.set(row.connection, row);
  for (const id of gone) byId.delete(id);
  return rows.length > 0 || gone.length > 0;
}

function publish(): void {
  proxies.value = { rows: [...byId.values()], error: undefined };
}
