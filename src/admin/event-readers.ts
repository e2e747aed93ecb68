/**
 * Everybody who reads events, each over an HTTP response that does not end: what happens in one turn of the event loop
 * is written once, for all of them. Who does not read is let go, so that what waits for it never grows without bounds.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html section "Parsing an event stream"
 */

import type { ServerResponse } from 'node:http';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';

/** How many may read at once. */
export const MAX_READERS = 16;
/** How much may wait for a reader, in characters. */
export const MAX_WAITING = 4 * 1024 * 1024;
/** A reader hears something so often, in milliseconds: it knows that the connection lives, and who is between does. */
export const HEARTBEAT_MS = 15_000;
/** How long a reader that lags has to take the rest, in milliseconds. */
const LAGGED_GRACE_MS = 30_000;

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // It ends by its connection, so that a server that stops need not wait for another request.
  connection: 'close',
};

/** Tells of something that happened: the event's name and its data. */
export type Tell = (event: string, data: object) => void;

export class EventReaders {
  readonly #clock: Clock;
  readonly #listen: (tell: Tell) => () => void;
  /** Every response that has not ended, also of those who lag. */
  readonly #open = new Set<ServerResponse>();
  readonly #readers = new Set<ServerResponse>();
  #stopListening: (() => void) | undefined;
  #heartbeat: Deadline | undefined;
  /** What happened in this turn of the event loop. */
  #events = '';
  #closed = false;

  /** @param listen called when the first reader comes; returns the way to stop, called when the last one has gone */
  constructor(clock: Clock, listen: (tell: Tell) => () => void) {
    this.#clock = clock;
    this.#listen = listen;
  }

  /** Answers with what happens from now on. @throws ERR_TOO_MANY_READERS, ERR_NOT_READY, with the response untouched */
  add(response: ServerResponse): void {
    if (this.#closed) throw new SidekeyError('ERR_NOT_READY', 'the server is stopping');
    if (this.#open.size >= MAX_READERS) {
      throw new SidekeyError(
        'ERR_TOO_MANY_READERS',
        `${MAX_READERS} clients read events already, which is the maximum; end one of them`,
      );
    }
    // What happened before in this turn is none of its business.
    this.#flush();
    this.#open.add(response);
    this.#readers.add(response);
    response.on('error', () => undefined); // 'close' follows
    // The socket's: a response that waits behind another one on its connection is not told of the end.
    response.req.socket.once('close', () => {
      this.#open.delete(response);
      this.#remove(response);
    });
    this.#stopListening ??= this.#listen((event, data) => this.#add(event, data));
    this.#heartbeat ??= this.#beatLater();
    response.writeHead(200, HEADERS).write(':\n\n');
  }

  /** Ends every response; nobody can read any more. */
  close(): void {
    this.#closed = true;
    this.#flush();
    for (const response of [...this.#readers]) {
      this.#remove(response);
      response.end();
    }
  }

  #add(event: string, data: object): void {
    if (this.#readers.size === 0) return;
    if (this.#events === '') setImmediate(() => this.#flush());
    this.#events += `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    if (this.#events.length > MAX_WAITING) this.#flush();
  }

  #flush(): void {
    const events = this.#events;
    this.#events = '';
    if (events !== '') this.#write(events);
  }

  #write(text: string): void {
    for (const response of [...this.#readers]) {
      if (response.writableLength + text.length > MAX_WAITING) this.#lag(response);
      else response.write(text);
    }
  }

  #lag(response: ServerResponse): void {
    this.#remove(response);
    const data = {
      at: new Date(this.#clock.now()).toISOString(),
      detail: 'the reader was too slow: too many events were unread',
    };
    response.end(`event: lagged\ndata: ${JSON.stringify(data)}\n\n`);
    const cut = this.#clock.after(LAGGED_GRACE_MS, () => response.req.socket.destroy());
    response.req.socket.once('close', () => cut.cancel());
  }

  #beatLater(): Deadline {
    return this.#clock.after(HEARTBEAT_MS, () => {
      this.#heartbeat = this.#beatLater();
      this.#write(':\n\n');
    });
  }

  #remove(response: ServerResponse): void {
    if (!this.#readers.delete(response) || this.#readers.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = undefined;
    this.#heartbeat?.cancel();
    this.#heartbeat = undefined;
    this.#events = '';
  }
}
