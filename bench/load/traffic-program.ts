/** Sends GETs at a steady rate, whatever becomes of those before, in a process of its own. */

import http from 'node:http';
import https from 'node:https';
import { call } from '../../envoy-examples/demo/http.ts';
import { obey } from './program.ts';

export interface TrafficOptions {
  /** Called in turn; all of the same scheme. */
  readonly urls: readonly string[];
  /** Of https: the server's certificate, PEM. */
  readonly ca?: string;
  readonly perSecond: number;
}

export interface Sent {
  readonly requests: number;
  /** What became of each request whose answer was not 200. */
  readonly failures: readonly string[];
  readonly seconds: number;
}

/** Requests that are due are sent together, this often. */
const TICK_MS = 4;
/** To front-envoy. While all of them wait for an answer, requests wait too. */
const CONNECTIONS = 100;

const failures: string[] = [];
let stop: (() => Promise<Sent>) | undefined;

obey({
  start,
  /** How many requests have failed so far. */
  failed: () => failures.length,
  /** Sends no more, and waits for the answers of those under way. */
  stop: () => stop!(),
});

function start({ urls, ca, perSecond }: TrafficOptions): void {
  const { Agent } = urls[0]!.startsWith('https:') ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const underWay = new Set<Promise<void>>();
  const begun = performance.now();
  let requests = 0;
  const send = async (url: string) => {
    const what = `${((performance.now() - begun) / 1_000).toFixed(3)} s: ${url}`;
    try {
      const { status, body } = await call(url, { ...(ca === undefined ? {} : { ca }), agent });
      if (status !== 200) failures.push(`${what}: ${status} ${body.trim()}`);
    } catch (error) {
      failures.push(`${what}: ${error}`);
    }
  };
  const timer = setInterval(() => {
    const due = ((performance.now() - begun) / 1_000) * perSecond;
    for (; requests < due; requests += 1) {
      const sent = send(urls[requests % urls.length]!).finally(() => underWay.delete(sent));
      underWay.add(sent);
    }
  }, TICK_MS);
  stop = async () => {
    clearInterval(timer);
    const seconds = (performance.now() - begun) / 1_000;
    await Promise.all(underWay);
    agent.destroy();
    return { requests, failures, seconds };
  };
}
