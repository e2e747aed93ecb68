/**
 * Readers of events, each with an HTTP response that does not end. Events of one turn of the event loop
 * are serialized once for all readers. A reader that does not read is disconnected, so that its buffer stays bounded.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html section "Parsing an event stream"
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, type Deadline, SidekeyError } from '../base/index.ts';
import type { Counters } from '../telemetry/index.ts';
import { time } from './time.ts';

/** Maximum number of readers. */
export const MAX_READERS = 16;
/** One user or token, with the sessions that it made, has at most this part of them. */
const SHARE = 1 / 2;
/** Maximum of unread output per reader, in characters. */
export const MAX_WAITING = 4 * 1024 * 1024;
/** Interval of comments, in milliseconds, so that readers and proxies see that the connection is alive. */
export const HEARTBEAT_MS = 15_000;
/** Time for a lagging reader to read the rest, in milliseconds. */
const LAGGED_GRACE_MS = 30_000;

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // The connection closes with the response, so that a stopping server need not wait for another request.
  connection: 'close',
};

/** Sends an event: its name, its data or their JSON, and the id by which a reader resumes after it. */
export type Tell = (event: string, data: object | string, id?: string) => void;

export interface NewReader {
  /** Who reads, as `senderOf` names it. */
  readonly sender: string;
  /** When its right to events ends, in milliseconds since the epoch; 0: never. */
  readonly until: number;
  /** Returns the text that it gets first. */
  readonly greeting?: () => string;
}

export class EventReaders {
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #listen: (tell: Tell) => () => void;
  /** Responses that have not ended, including those of lagging readers, by whose they are. */
  readonly #open = new Map<ServerResponse, string>();
  readonly #readers = new Set<ServerResponse>();
  #stopListening: (() => void) | undefined;
  #heartbeat: Deadline | undefined;
  /** Events of this turn of the event loop. */
  #events = '';
  #closed = false;
  readonly #most: number;

  /**
   * @param listen called for the first reader; returns a function that stops, called after the last reader left
   * @param most maximum number of readers
   */
  constructor(clock: Clock, counters: Counters, listen: (tell: Tell) => () => void, most: number = MAX_READERS) {
    this.#most = most;
    this.#clock = clock;
    this.#counters = counters;
    this.#listen = listen;
  }

  /**
   * Streams events from now on.
   * @throws ERR_TOO_MANY_READERS, ERR_NOT_READY, with the response untouched
   */
  add(response: ServerResponse, { sender, until, greeting = () => ':\n\n' }: NewReader): void {
    if (this.#closed) throw new SidekeyError('ERR_NOT_READY', 'the server is stopping');
    if (this.#open.size >= this.#most) {
      throw new SidekeyError(
        'ERR_TOO_MANY_READERS',
        `${this.#most} clients read events already, which is the maximum; end one of them`,
      );
    }
    const share = this.#most * SHARE;
    const own = [...this.#open.values()].filter((one) => one === sender).length;
    if (own >= share) {
      throw new SidekeyError(
        'ERR_TOO_MANY_READERS',
        `${sender}, with the sessions that it made, reads events ${own} times already, and each user or token may ${share} times: close a tab of the page, or end a command that follows events`,
      );
    }
    // Earlier events of this turn are not for the new reader.
    this.#flush();
    this.#open.set(response, sender);
    this.#readers.add(response);
    response.on('error', () => undefined); // 'close' follows
    const end = until === 0 ? undefined : this.#clock.at(until, () => this.end((one) => one === response.req));
    // Uses the socket's event, because a response that waits behind another one on its connection gets no 'close'.
    response.req.socket.once('close', () => {
      end?.cancel();
      this.#open.delete(response);
      this.#remove(response);
    });
    this.#stopListening ??= this.#listen((event, data, id) => this.#add(event, data, id));
    this.#heartbeat ??= this.#beatLater();
    response.writeHead(200, HEADERS).write(greeting());
  }

  /** Ends every response and refuses new readers. */
  close(): void {
    this.#closed = true;
    this.end(() => true);
  }

  /** Ends the responses to the requests that match. */
  end(matches: (request: IncomingMessage) => boolean): void {
    this.#flush();
    for (const response of [...this.#readers]) {
      if (!matches(response.req)) continue;
      this.#remove(response);
      response.end();
    }
  }

  #add(event: string, data: object | string, id?: string): void {
    if (this.#readers.size === 0) return;
    if (this.#events === '') setImmediate(() => this.#flush());
    const json = typeof data === 'string' ? data : JSON.stringify(data);
    this.#events += `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${json}\n\n`;
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
    this.#counters.limits.add('eventBacklog');
    this.#remove(response);
    const data = {
      at: time(this.#clock.now()),
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
