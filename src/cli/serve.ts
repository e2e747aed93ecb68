/** Runs the server until a signal stops it. */

import type { Flags } from '../config/given.ts';
import { loadServeConfig } from '../config/load.ts';
import { startServer } from '../server.ts';

/** What the contract gives a stop, in milliseconds. */
const STOP_MS = 5_000;

/** Resolves when a signal has stopped it. @throws ERR_CONFIG; whatever keeps the server from starting */
export async function serve(flags: Flags): Promise<void> {
  const config = await loadServeConfig({
    flags,
    env: process.env,
    uid: process.geteuid!(),
    folder: process.cwd(),
  });
  const stopped = firstSignal();
  const server = await startServer(config);
  await stopped;
  // From now on the process ends with the server, in time or not; another signal ends it at once.
  for (const signal of SIGNALS) process.once(signal, () => process.exit(1));
  setTimeout(() => process.exit(1), STOP_MS - 250).unref();
  await server.close();
  process.exit(0);
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.once(signal, () => resolve());
  });
}
