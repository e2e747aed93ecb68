/**
 * Tells when a process ends, even while somebody else keeps its socket open.
 *
 * One epoll instance holds every pidfd, and one call of epoll_wait is in flight on a thread of libuv's pool, which
 * costs the pool that thread: `bin/sidekey` makes the pool larger. Nothing is polled.
 */

import fs from 'node:fs';
import { epollAdd, epollCreate, epollDelete, epollWait, eventfd } from './libc.ts';

export interface ExitWatcher {
  /**
   * Calls back once, when the process of the pidfd has ended. The returned function calls it off (a no-op once it has
   * ended); call it before the pidfd is closed.
   */
  watch(pidfd: number, ended: () => void): () => void;
  /** Ends the watch; resolves when the thread is given back. Until then the process stays alive. */
  close(): Promise<void>;
}

/** The token of the eventfd that wakes the thread; the pidfds' begin after it. */
const WAKE = 0;
const MAX_TOKEN = 0xffff_ffff;

export function createExitWatcher(): ExitWatcher {
  const epoll = epollCreate();
  const wakeup = eventfd();
  const watched = new Map<number, { readonly pidfd: number; readonly ended: () => void }>();
  let lastToken = WAKE;
  let closing = false;

  epollAdd(epoll, wakeup, WAKE);
  // At exit Node joins the pool's threads: one that waits without end would keep the process from ever ending.
  process.once('exit', wake);
  const closed = run();

  return {
    watch(pidfd, ended) {
      if (closing) throw new Error('the exit watcher is closed');
      const token = nextToken();
      epollAdd(epoll, pidfd, token);
      watched.set(token, { pidfd, ended });
      return () => forget(token);
    },
    close() {
      if (!closing) {
        closing = true;
        watched.clear();
        wake();
      }
      return closed;
    },
  };

  async function run(): Promise<void> {
    while (!closing) {
      for (const token of await epollWait(epoll)) {
        const ended = watched.get(token)?.ended;
        forget(token);
        ended?.();
      }
    }
    process.off('exit', wake);
    fs.closeSync(epoll);
    fs.closeSync(wakeup);
  }

  function forget(token: number): void {
    const entry = watched.get(token);
    if (entry === undefined) return;
    watched.delete(token);
    epollDelete(epoll, entry.pidfd);
  }

  function wake(): void {
    fs.writeSync(wakeup, new Uint8Array(new BigUint64Array([1n]).buffer));
  }

  function nextToken(): number {
    do lastToken = lastToken === MAX_TOKEN ? WAKE + 1 : lastToken + 1;
    while (watched.has(lastToken));
    return lastToken;
  }
}
