/** Requests in the background, one after another, so that one that fails would be seen. */

import type { Stage } from './stage.ts';

/** Enough to hit a gap, and no load. */
const PAUSE_MS = 10;

/** Runs `during` under traffic. @returns what went wrong with each request that failed */
export async function underTraffic(stage: Stage, during: () => Promise<void>): Promise<string[]> {
  const failures: string[] = [];
  let over = false;
  const traffic = (async () => {
    while (!over) {
      await stage.request(stage.ports.web).then(
        ({ status }) => {
          if (status !== 200) failures.push(String(status));
        },
        (error: unknown) => failures.push(String(error)),
      );
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  })();
  try {
    await during();
  } finally {
    over = true;
    await traffic;
  }
  return failures;
}
