/** A copy of the live database, made by another thread while the server goes on reading and writing. */

import { rmSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { SidekeyError } from '../../base/index.ts';
import { storeError } from './access.ts';
import { type CopyJob, type CopyMessage, GO, STAGE, STOP } from './copy-job.ts';
import { createPrivately } from './database-file.ts';

/** Longest wait for the thread to fix the state, which blocks the event loop, in milliseconds; usually well below 1. */
const FIX_MS = 250;

/** The bundle in `dist/` has its thread beside it; so have the sources. */
const THREAD = path.join(
  import.meta.dirname,
  import.meta.filename.endsWith('.ts') ? 'copy-worker.ts' : 'copy-worker.cjs',
);

/**
 * Copies the database to a new file `to` (mode 0600).
 *
 * @param onFixed called, synchronously and without a write in between, at the moment whose state the copy has: what is
 * read in it belongs to the same state
 * @throws ERR_STORE; the reason of the signal; the error of `onFixed`. Then there is no file
 */
export async function snapshotDatabase(
  from: string,
  to: string,
  onFixed: () => void,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const control = new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT));
  try {
    createPrivately(to);
    await copyInThread({ from, to, control }, onFixed, signal);
  } catch (thrown) {
    for (const file of [to, `${to}-journal`, `${to}-wal`, `${to}-shm`]) rmSync(file, { force: true });
    signal.throwIfAborted();
    throw thrown instanceof SidekeyError ? thrown : storeError(thrown, from, 'copied');
  }
}

async function copyInThread(job: CopyJob, onFixed: () => void, signal: AbortSignal): Promise<void> {
  const { control } = job;
  const worker = new Worker(THREAD, { workerData: job, name: 'database copy' });
  const stop = () => Atomics.store(control, STOP, 1);
  signal.addEventListener('abort', stop);
  try {
    await new Promise<void>((resolve, reject) => {
      const end = Promise.withResolvers<void>();
      end.promise.then(resolve, reject);
      worker.once('error', end.reject);
      worker.once('exit', () => end.reject(new Error('the copying thread ended')));
      worker.on('message', (message: CopyMessage) => {
        try {
          if (message.is === 'prepared') {
            fix(control);
            onFixed();
          } else if (message.is === 'copied') end.resolve();
          else end.reject(Object.assign(new Error(message.message), { code: message.code }));
        } catch (thrown) {
          stop();
          end.reject(thrown as Error);
        }
      });
    });
  } finally {
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}

/** Lets the thread fix its state, and waits for that: nothing can be written in the meantime. */
function fix(control: CopyJob['control']): void {
  Atomics.store(control, GO, 1);
  Atomics.notify(control, GO);
  Atomics.wait(control, STAGE, 0, FIX_MS);
  if (Atomics.load(control, STAGE) !== 1) {
    Atomics.store(control, STOP, 1);
    throw new Error(`the copying thread did not answer within ${FIX_MS} ms`);
  }
}
