/** Log lines into a pipe or a socket whose reader may stall: nobody waits for it, and lines beyond a bound are dropped. */

import type { Writable } from 'node:stream';

/** How much may wait for the reader, in characters. */
const BOUND = 1_048_576;

export interface LogPipe {
  write(line: string): void;
}

/** `onDropped` hears how many lines were dropped, once all that had waited is read. */
export function createLogPipe(stream: Writable, onDropped: (lines: number) => void): LogPipe {
  let dropped = 0;
  stream.on('drain', () => {
    const lines = dropped;
    dropped = 0;
    if (lines > 0) onDropped(lines);
  });
  return {
    write(line) {
      // A reader that is gone does not come back; what serves has no need of it.
      if (stream.destroyed) return;
      if (dropped > 0 || stream.writableLength + line.length > BOUND) dropped += 1;
      else stream.write(line);
    },
  };
}

/** Waits until all is read that was written, `ms` at most. */
export async function flushed(stream: Writable, ms: number): Promise<void> {
  if (stream.writableLength === 0 || stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  stream.once('close', resolve);
  stream.write('', () => resolve());
  await promise;
  clearTimeout(timer);
}
