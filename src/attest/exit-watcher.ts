/**
 * Reports the end of processes, even if another process has their sockets open.
 *
 * All pidfds are in one epoll instance. One call of epoll_wait occupies a thread of libuv's pool all the time, so
 * `bin/sidekey` makes the pool larger.
 */

import fs from 'node:fs';
import { epollAdd, epollCreate, epollDelete, epollWait, eventfd } from './libc.ts';

export interface ExitWatcher {
  /**
   * Calls `ended` once, when the process of the pidfd has ended. The returned function cancels this; call it before the
   * pidfd is closed. It does nothing if the process has ended.
   */
  watch(pidfd: number, ended: () => void): () => void;
  /** Cancels everything. Resolves when the thread is released; until then Sidekey can't exit. */
  close(): Promise<void>;
}

/** The token of the eventfd that wakes the thread. The pidfds have higher tokens. */
const WAKE = 0;
const MAX_TOKEN = 0xffff_ffff;

export function createExitWatcher(): ExitWatcher {
  const epoll = epollCreate();
  const wakeup = eventfd();
  const watched = new Map<number, { readonly pidfd: number; readonly ended: () => void }>();
  let lastToken = WAKE;
  let closing = false;

  epollAdd(epoll, wakeup, WAKE);
  // At exit Node joins the threads of the pool, so a waiting thread would prevent the exit.
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
