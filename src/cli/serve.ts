/** Runs the server until a signal stops it. */

import { once } from 'node:events';
import { hardenProcess } from '../base/hardening.ts';
import type { Flags } from '../config/given.ts';
import { loadServeConfig } from '../config/load.ts';
import { startServer } from '../server/server.ts';
import { flushLog } from '../telemetry/log.ts';

/** How long a stop may take, as docs/operations.md promises, in milliseconds. */
const STOP_MS = 5_000;

/** Exits with 0 after a signal. @throws ERR_CONFIG, as {@link hardenProcess}; any error of the start */
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
      // Unread log lines would keep the process alive; the caller has reported the error by now.
      setTimeout(() => process.exit(), 0).unref();
      throw thrown;
    }
  }
  await flushLog();
  process.exit(0);
}

/** Signals of a supervisor, Ctrl-C and a closing terminal. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Aborts at the first signal. From then on the process exits within the time limit, and at a second signal at once. */
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
