/**
 * The connection on which the server sends changes. It says at once when it is lost, tries again with growing pauses, and
 * then counts up `epoch`, by which whatever shows data reads it again.
 */

import { signal } from '@preact/signals';
import type { PageChanges, PageHello } from '../../gen/admin-api.ts';
import { ApiError, send } from './api.ts';
import { setClock } from './clock.ts';
import { readEvents } from './event-lines.ts';

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** Both are times of the browser's clock, in milliseconds. */
  | { readonly state: 'lost'; readonly since: number; readonly retryAt: number };

export const connection = signal<Connection>({ state: 'connecting' });

/** Grows whenever changes may have been missed: data read before must be read again. */
export const epoch = signal(0);

const greeted = Promise.withResolvers<void>();

/** Resolves once connected: data that is read from then on misses no change. */
export const firstConnection = greeted.promise;

/** Pauses between attempts, in milliseconds, each up to a quarter longer so that many pages do not come at once. */
const PAUSES = [250, 500, 1_000, 2_000, 4_000, 8_000];
/** The server sends something at least every 15 s; a longer silence is a connection that broke without a word. */
const SILENCE_MS = 40_000;

type Listener = (change: PageChanges) => void;
const listeners = new Set<Listener>();

/** Calls the listener with each change from now on. Returns a function that stops this. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let stop: AbortController | undefined;
let wake: () => void = () => undefined;
/** Of the last message: a server that has said nothing else since then says so. */
let lastId = '';

/** Connects, and connects again, until {@link disconnect}. */
export function connect(): void {
  if (stop !== undefined) return;
  stop = new AbortController();
  void keepConnected(stop.signal);
}

export function disconnect(): void {
  stop?.abort();
  stop = undefined;
  wake();
}

/** Tries at once instead of at the end of the pause. */
export function retryNow(): void {
  wake();
}

async function keepConnected(signal: AbortSignal): Promise<void> {
  let failures = 0;
  let since = 0;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    signal.addEventListener('abort', end, { once: true });
    try {
      await listen(attempt, () => {
        failures = 0;
        since = 0;
      });
    } catch (thrown) {
      // The server does not know the session any more: there is nothing to try again.
      if (thrown instanceof ApiError && thrown.status === 401) {
        if (stop?.signal === signal) stop = undefined;
        break;
      }
    } finally {
      signal.removeEventListener('abort', end);
      attempt.abort();
    }
    if (signal.aborted) break;
    const pause = PAUSES[Math.min(failures, PAUSES.length - 1)]! * (1 + Math.random() / 4);
    failures += 1;
    since ||= Date.now();
    connection.value = { state: 'lost', since, retryAt: Date.now() + pause };
    await passed(pause);
  }
}

/** Ends when the connection does. */
async function listen(attempt: AbortController, connected: () => void): Promise<void> {
  let silence = setTimeout(() => attempt.abort(), SILENCE_MS);
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => attempt.abort(), SILENCE_MS);
  };
  try {
    const headers = { accept: 'text/event-stream', 'last-event-id': lastId };
    const { body } = await send('GET', '/v1/page/events', { headers, signal: attempt.signal });
    for await (const { event, data, id } of readEvents(body!, heard)) {
      lastId = id || lastId;
      if (event === 'hello') {
        greet(JSON.parse(data) as PageHello);
        connected();
      } else if (event === 'changes') {
        const change = JSON.parse(data) as PageChanges;
        for (const listener of listeners) listener(change);
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

function greet(hello: PageHello): void {
  setClock(hello.at);
  connection.value = { state: 'live' };
  // Otherwise what was read before may be older than the connection.
  if (!hello.resumed) epoch.value += 1;
  greeted.resolve();
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    const visible = () => {
      if (!document.hidden) done();
    };
    function done(): void {
      clearTimeout(timer);
      removeEventListener('online', done);
      document.removeEventListener('visibilitychange', visible);
      wake = () => undefined;
      resolve();
    }
    wake = done;
    addEventListener('online', done);
    document.addEventListener('visibilitychange', visible);
  });
}
