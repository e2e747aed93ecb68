/**
 * The thread that copies the database for `snapshot.ts`: the copy is read and synced without stopping the server. It
 * opens a read transaction at the moment that the server names, and SQLite's backup then copies that state, whatever is
 * written meanwhile.
 */

import { parentPort, workerData } from 'node:worker_threads';
import Sqlite from 'better-sqlite3';
import { type CopyJob, type CopyMessage, GO, STAGE, STOP } from './copy-job.ts';

/** Pages in one step, after which a stop takes effect: 1 MiB. */
const STEP_PAGES = 256;
/** How long the thread waits for the moment, in milliseconds; the server gave up before. */
const WAIT_MS = 10_000;

async function copy({ from, to, control }: CopyJob): Promise<void> {
  const db = new Sqlite(from, { readonly: true, fileMustExist: true });
  try {
    const look = db.prepare('SELECT count(*) FROM sqlite_schema');
    look.get();
    db.exec('BEGIN');
    tell({ is: 'prepared' });
    Atomics.wait(control, GO, 0, WAIT_MS);
    if (Atomics.load(control, GO) !== 1) return;
    // The first read fixes the state that the transaction sees.
    look.get();
    Atomics.store(control, STAGE, 1);
    Atomics.notify(control, STAGE);
    await db.backup(to, {
      progress: () => {
        if (Atomics.load(control, STOP) === 1) throw new Error('the copy was stopped');
        return STEP_PAGES;
      },
    });
  } finally {
    db.close();
  }
  tell({ is: 'copied' });
}

function tell(message: CopyMessage): void {
  parentPort!.postMessage(message);
}

copy(workerData as CopyJob).catch((error: Error & { code?: string }) =>
  tell({ is: 'failed', message: error.message, code: error.code }),
);
