/** A server that has no descriptor left still says what is wrong. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { whyNoDescriptorsSeen } from '../support/process-state.ts';
import { serve } from '../support/serve.ts';

test('doctor looks at each part by itself', async (t) => {
  if (spawnSync('prlimit', ['--version']).status !== 0) return t.skip('prlimit(1) is not there');
  const why = whyNoDescriptorsSeen();
  if (why !== undefined) return t.skip(why);
  const server = await serve(t);
  // A connection that was there before, as of somebody who watches.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ask = () =>
    new Promise<{ status: number; body: Record<string, unknown> }>((resolve, reject) => {
      http
        .get({ socketPath: server.adminSocket, path: '/v1/doctor', agent }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part;
          });
          response.on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) }));
        })
        .on('error', reject);
    });
  const before = await ask();
  assert.deepEqual([before.status, before.body.unseen], [200, []]);

  // The numbers below the first that is free are all taken, so none is left to have.
  const taken = new Set(fs.readdirSync(`/proc/${server.pid}/fd`).map(Number));
  let limit = 0;
  while (taken.has(limit)) limit += 1;
  const setLimit = (soft: number) =>
    assert.equal(spawnSync('prlimit', ['--pid', String(server.pid), `--nofile=${soft}:`]).status, 0);
  setLimit(limit);
  const { status, body } = await ask();
  assert.equal(status, 200);
  const unseen = body.unseen as { what: string; error: string }[];
  assert.deepEqual(unseen.map(({ what }) => what).toSorted(), ['/proc', 'descriptors']);
  for (const { error } of unseen) assert.match(error, /EMFILE/);
  assert.deepEqual([body.proc, body.descriptors], [null, null]);
  setLimit(1_024);
  assert.deepEqual((await ask()).body.unseen, []);
});
