/** Lines that a caller causes at will: a bounded number of them, without stacks, and nothing that a terminal obeys. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LINE_BUDGET } from '../../src/telemetry/line-budget.ts';
import { SdsClient } from '../support/sds-client.ts';
import { makePlace, type Served, serve } from '../support/serve.ts';

const FLOOD = 3_000;
/** Of the server itself: its start, and what an admin does. */
const OTHERS = 50;

function size(server: Served): number {
  return server.log.reduce((sum, line) => sum + JSON.stringify(line).length, 0);
}

/** At most what the budget gives while this takes. */
function most(seconds: number): number {
  return LINE_BUDGET.burst + LINE_BUDGET.perSecond * (seconds + 1);
}

describe('a flood of log lines', { concurrency: 1, timeout: 60_000 }, () => {
  it('by streams that break a rule: one budget, no stack, and the number of lines that were left out', async (t) => {
    const server = await serve(t, { logLevel: 'info' });
    const begun = performance.now();
    for (let round = 0; round < FLOOD / 500; round += 1) {
      const client = new SdsClient(server.socket);
      const streams = Array.from({ length: 500 }, () => client.stream());
      for (const stream of streams) stream.send({ typeUrl: `no type\u009b31m\u202e${'x'.repeat(5_000)}` });
      await Promise.all(streams.map(({ status }) => status));
      client.close();
    }
    const seconds = (performance.now() - begun) / 1_000;
    const lines = () => server.log.filter(({ msg }) => msg === 'invalid request: its stream is closed');
    assert.ok(lines().length <= most(seconds), `${lines().length} lines in ${seconds} s`);
    assert.ok(size(server) < 1_000 * (most(seconds) + OTHERS), `${size(server)} characters`);
    assert.ok(server.log.every((line) => !JSON.stringify(line).includes('"stack"')));
    const summary = await server.loggedLike(/log lines of uid \d+ were left out/);
    assert.equal((summary.lines as number) + lines().length >= FLOOD - 10, true);
  });

  it('by a caller on TCP without a token', async (t) => {
    const server = await serve(t, { logLevel: 'info', flags: ['--admin-listen', '127.0.0.1:0'] });
    const { port } = (await server.logged('admin API listens on TCP')) as { port: number };
    for (let round = 0; round < 20; round += 1) {
      const asked = Array.from(
        { length: 20 },
        () =>
          new Promise<void>((resolve) => {
            const request = http.request({
              host: '127.0.0.1',
              port,
              method: 'POST',
              path: '/v1/entries',
              agent: false,
            });
            request.on('response', (response) => response.resume().on('end', resolve)).on('error', () => resolve());
            request.end();
          }),
      );
      await Promise.all(asked);
    }
    const lines = server.log.filter(({ msg }) => msg === 'admin request').length;
    assert.ok(lines > 0 && lines <= most(20), `${lines} lines`);
  });
});

it('a name that a terminal would obey stands escaped in the log', { timeout: 60_000 }, async (t) => {
  const place = makePlace(t);
  const file = path.join(place.directory, 'log');
  const server = await serve(t, {
    place,
    launcher: ['sh', '-c', 'exec "$@" >"$0"', file],
    logLevel: 'info',
    silent: true,
  });
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  const name = 'a\u009b31m\u0085\u2028\u2029\u202e\u2066\u007f\u200b';
  client.stream().ask(name);
  const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1);
  while (!lines().some((line) => JSON.parse(line).name === name)) await sleep(20);
  assert.match(readFileSync(file, 'utf8'), /^[\n -~]*$/);
});
