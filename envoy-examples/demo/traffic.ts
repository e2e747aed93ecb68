/** Steady requests in the background, so that a failed one would be seen. */

import { Agent } from 'node:https';
import { call } from './http.ts';

export interface Traffic {
  /** Answered so far, well or not. */
  readonly requests: number;
  /** What went wrong with each request that failed. */
  readonly failures: readonly string[];
  /** Lets what is under way finish. */
  stop(): Promise<void>;
}

const LANES = 4;
/** Pause between two requests of a lane: enough requests to hit any gap, and the machine not at its limit. */
const PAUSE_MS = 5;

/** Sends GETs to the URLs in turn over TLS; anything but 200 is a failure. @param ca PEM */
export function startTraffic(urls: readonly string[], ca: string): Traffic {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const failures: string[] = [];
  let requests = 0;
  let stopped = false;

  async function lane(): Promise<void> {
    while (!stopped) {
      const url = urls[requests % urls.length]!;
      requests += 1;
      try {
        const { status, body } = await call(url, { ca, agent });
        if (status !== 200) failures.push(`${url}: ${status} ${body.trim()}`);
      } catch (error) {
        failures.push(`${url}: ${error}`);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  const lanes = Promise.all(Array.from({ length: LANES }, lane));
  return {
    get requests() {
      return requests;
    },
    failures,
    async stop() {
      stopped = true;
      await lanes;
      agent.destroy();
    },
  };
}
