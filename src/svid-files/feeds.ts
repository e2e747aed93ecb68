/** Keep one part of the files up to date: a stream that is opened again whenever it ends, and a token that is renewed. */

import { backoffApart, type Clock, type Deadline } from '../base/index.ts';
import type { Part } from './contents.ts';
import type { Cancel, StreamListener } from './source.ts';

const FIRST_RETRY_MS = 500;
/** Also the longest wait of a caller that gets an identity later. */
const LAST_RETRY_MS = 10_000;
/** The server keeps a token until half of its life, so a renewal before that returns the same one. */
const TOKEN_SPARE_MS = 1_000;

export interface FeedListener {
  part(part: Part): void;
  problem(error: Error): void;
}

export interface Feed {
  /** Asks now instead of later; a stream that is open reads its last message again. */
  again(): void;
  close(): void;
}

interface FeedOptions extends FeedListener {
  readonly clock: Clock;
}

/** @param read checks a message; undefined if nothing can be made of it yet, see {@link Feed.again} */
export function streamFeed<T>(
  open: (listener: StreamListener<T>) => Cancel,
  read: (message: T) => Part | undefined,
  { clock, part, problem }: FeedOptions,
): Feed {
  let cancel: Cancel | undefined;
  let retry: Deadline | undefined;
  let failures = 0;
  let last: T | undefined;
  const take = (message: T) => {
    try {
      const received = read(message);
      if (received !== undefined) part(received);
    } catch (thrown) {
      problem(thrown as Error);
    }
  };
  const start = () => {
    retry = undefined;
    cancel = open({
      message: (message) => {
        failures = 0;
        last = message;
        take(message);
      },
      end: (error) => {
        failures += 1;
        problem(error);
        retry = clock.after(backoffApart(failures, FIRST_RETRY_MS, LAST_RETRY_MS), start);
      },
    });
  };
  start();
  return {
    again: () => {
      if (retry !== undefined) {
        retry.cancel();
        start();
      } else if (last !== undefined) take(last);
    },
    close: () => {
      retry?.cancel();
      cancel?.();
    },
  };
}

/** @param fetch asks for a token and checks it */
export function tokenFeed(fetch: () => Promise<Part>, { clock, part, problem }: FeedOptions): Feed {
  let retry: Deadline | undefined;
  let failures = 0;
  let asked = 0;
  const ask = () => {
    retry?.cancel();
    asked += 1;
    const round = asked;
    fetch().then(
      (received) => {
        if (round !== asked) return;
        failures = 0;
        const now = clock.now();
        const left = Math.max(0, received.endsAt! - now);
        retry = clock.at(now + left / 2 + TOKEN_SPARE_MS, ask);
        part(received);
      },
      (error: Error) => {
        if (round !== asked) return;
        failures += 1;
        problem(error);
        retry = clock.after(backoffApart(failures, FIRST_RETRY_MS, LAST_RETRY_MS), ask);
      },
    );
  };
  ask();
  return {
    again: ask,
    close: () => {
      asked += 1;
      retry?.cancel();
    },
  };
}
