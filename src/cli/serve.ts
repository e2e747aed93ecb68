/** Runs the server until a signal stops it. */

import { once } from 'node:events';
import { hardenProcess } from '../base/hardening.ts';
import type { Flags } from '../config/given.ts';
import { loadServeConfig } from '../config/load.ts';
import { startServer } from '../server/server.ts';
import { flushLog } from '../telemetry/log.ts';

/** How long a stop may take, as docs/operations.md promises, in milliseconds. */
const STOP_MS = 5_000;

/** Ends the process with 0 when a signal has stopped it. @throws ERR_CONFIG, as {@link hardenProcess}; whatever keeps the server from starting */
export async function serve(flags: Flags): Promise<void> {
  hardenProcess();
  const config = await loadServeConfig({
    flags,
    env: process.env,
    uid: process.geteuid!(),
    folder: process.cwd(),
  });
  const stop = stopSignal();
  try {
    const server = await startServer(config, undefined, stop);
    if (!stop.aborted) await once(stop, 'abort');
    await server.close();
  } catch (thrown) {
    if (!stop.aborted || thrown !== stop.reason) {
      await flushLog();
      // Lines that nobody reads would hold the process; the caller has told the error by then.
      setTimeout(() => process.exit(), 0).unref();
      throw thrown;
    }
  }
  await flushLog();
  process.exit(0);
}

/** As a terminal that closes, a supervisor and Ctrl-C end a process. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Aborts at the first signal; from then on the process ends in time, done or not, and another signal ends it at once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(1);
    setTimeout(() => process.exit(1), STOP_MS - 250).unref();
    stop.abort();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return stop.signal;
}
