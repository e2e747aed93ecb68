/**
 * Sidekey itself, composed as `serve` does, with a clock that can jump and a look at its event loop from within.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Clock, type Deadline, SystemClock } from '../../src/base/clock.ts';
import type { ServeConfig } from '../../src/config/serve-config.ts';
import { startServer } from '../../src/server/server.ts';
import { obey, sharedNow } from './program.ts';

class JumpingClock implements Clock {
  readonly #machine = new SystemClock();
  readonly #pending = new Map<() => void, { readonly instant: number; deadline: Deadline }>();
  #ahead = 0;

  now(): number {
    return this.#machine.now() + this.#ahead;
  }

  at(instant: number, callback: () => void): Deadline {
    const call = () => {
      this.#pending.delete(call);
      callback();
    };
    this.#pending.set(call, { instant, deadline: this.#machine.at(instant - this.#ahead, call) });
    return {
      cancel: () => {
        this.#pending.get(call)?.deadline.cancel();
        this.#pending.delete(call);
      },
    };
  }

  after(delay: number, callback: () => void): Deadline {
    return this.#machine.after(delay, callback);
  }

  onSetBack(listener: () => void): () => void {
    return this.#machine.onSetBack(listener);
  }

  jump(milliseconds: number): void {
    this.#ahead += milliseconds;
    for (const [call, pending] of this.#pending) {
      pending.deadline.cancel();
      pending.deadline = this.#machine.at(pending.instant - this.#ahead, call);
    }
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const clock = new JumpingClock();
const delay = monitorEventLoopDelay({ resolution: 1 });

obey({
  serve: async (config: ServeConfig) => {
    await startServer(config, clock);
  },
  /** Jumps, and says when. */
  jump: ({ milliseconds }: { milliseconds: number }) => {
    clock.jump(milliseconds);
    return sharedNow();
  },
  /** What is in use, once garbage was collected, in bytes: the heap, and buffers outside of it. */
  used: () => {
    collectGarbage();
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  },
  watchPauses: () => {
    delay.reset();
    delay.enable();
  },
  /** The longest that the event loop kept a timer waiting since {@link watchPauses}, in milliseconds. */
  longestPause: () => delay.max / 1e6,
});
