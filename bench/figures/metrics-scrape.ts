/** A scrape of the metrics while ten thousand streams are open: how long it takes, and what it costs the server. */

import { setTimeout as pause } from 'node:timers/promises';
import { parseMetrics, sumOf } from '../../test/metrics/parse.ts';
import { processorTimeOf } from '../../test/support/processor-time.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import { serveStreams } from '../load/served-streams.ts';

const STREAMS = 10_000;
const CONNECTIONS = 1_000;
const SCRAPES = 100;

export async function metricsScrape(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveStreams(cleanup, STREAMS, CONNECTIONS);
  const scrape = async () => {
    const begun = performance.now();
    const { body } = await server.request('GET', '/metrics');
    return { took: performance.now() - begun, text: body as string };
  };
  const { took: first, text } = await scrape();
  const open = sumOf(parseMetrics(text), 'sidekey_streams');
  if (open !== STREAMS) throw new Error(`${open} of ${STREAMS} streams are open`);
  const took: number[] = [];
  const usedBefore = processorTimeOf(server.pid);
  for (let i = 0; i < SCRAPES; i += 1) {
    took.push((await scrape()).took);
    await pause(10);
  }
  const used = processorTimeOf(server.pid) - usedBefore;
  return [
    {
      name: 'metrics-scrape',
      value: percentile(took, 0.5),
      unit: 'ms',
      compared_with: {
        reach: 20,
        '99th percentile': percentile(took, 0.99),
        'the first, which loads what it needs': round(first),
        'processor time of the server': round(used / SCRAPES),
        bytes: text.length,
      },
      how: `median of ${SCRAPES} scrapes over the Unix socket, read by one client, ${STREAMS} streams on ${CONNECTIONS} connections`,
    },
  ];
}
