/** Sends requests continuously in the background, and records failures. */

import { Agent } from 'node:https';
import { call } from './http.ts';

export interface Traffic {
  /** The number of requests sent so far. */
  readonly requests: number;
  /** The error of each failed request. */
  readonly failures: readonly string[];
  /** Stops after the requests in flight have finished. */
  stop(): Promise<void>;
}

const LANES = 4;
/** Pause between two requests of a lane: short enough to hit any gap, long enough not to overload the machine. */
const PAUSE_MS = 5;

/** Sends GETs to the URLs in turn over TLS; each status but 200 is a failure. @param ca PEM */
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
