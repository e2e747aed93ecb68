/** From `serve` on an empty directory to a first secret over the pipe. */

import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SdsClient } from '../../test/support/sds-client.ts';
import { makePlace, spawnServe, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const RUNS = 15;
const NAME = `spiffe://${TRUST_DOMAIN}/web`;

export async function firstSecret(cleanup: Cleanup): Promise<Figure[]> {
  const sample: number[] = [];
  // The first start after a build compiles what later ones read from the cache; it is not counted.
  await start(cleanup);
  for (let run = 0; run < RUNS; run += 1) sample.push(await start(cleanup));
  return [
    {
      name: 'first-secret',
      value: percentile(sample, 0.5),
      unit: 'ms',
      compared_with: { reach: 450, 'SPIRE 1.16-dev': '5200 to 10100', p99: percentile(sample, 0.99) },
      how: `p50 of ${RUNS} starts: spawn of bin/sidekey serve on an empty directory, entries by --entries, to the first response on a stream that connects as soon as the socket accepts`,
    },
  ];
}

/** One start, in milliseconds. */
async function start(cleanup: Cleanup): Promise<number> {
  const place = makePlace(cleanup);
  const entries = path.join(place.directory, 'entries.yaml');
  writeFileSync(entries, `entries:\n- spiffe_id: ${NAME}\n  selectors: ["unix:uid:${process.getuid!()}"]\n`);
  const begun = performance.now();
  const child = spawnServe(place, ['--entries', entries, '--log-level', 'warn']);
  await accepts(place.socket);
  const client = new SdsClient(place.socket);
  const stream = client.stream();
  stream.ask(NAME);
  await stream.next();
  const took = performance.now() - begun;
  client.close();
  child.kill('SIGKILL');
  await once(child, 'close');
  return took;
}

async function accepts(socket: string): Promise<void> {
  for (;;) {
    if (existsSync(socket)) {
      const connection = net.connect(socket);
      const connected = await once(connection, 'connect').then(
        () => true,
        () => false,
      );
      connection.destroy();
      if (connected) return;
    }
    // To look without a pause would keep one of the processors from the server.
    await pause(1);
  }
}
