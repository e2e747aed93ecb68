/** An unprivileged user with tens of thousands of mounts does not stop the server when root asks about its processes. */

import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExplanationJson } from '../../src/admin/explain-schema.ts';
import { NOBODY } from '../support/child.ts';
import { manyMounts, whyNoManyMounts } from '../support/many-mounts.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

/** The longest time that the server may be busy with one process, in milliseconds; the machine may be slow. */
const BUSY_MS = 5_000;

/** The result of the task, and the longest time that the server took for another request meanwhile, in milliseconds. */
async function beside<T>(server: Served, task: Promise<T>): Promise<{ result: T; longest: number }> {
  let ended = false;
  void task.finally(() => {
    ended = true;
  });
  let longest = 0;
  while (!ended) {
    const begun = performance.now();
    await server.request('GET', '/healthz');
    longest = Math.max(longest, performance.now() - begun);
    await sleep(5);
  }
  return { result: await task, longest };
}

describe('a user with very many mounts', { timeout: 300_000, skip: whyNoManyMounts() ?? false }, () => {
  for (const { doublings, verdict, detail } of [
    { doublings: 4, verdict: 'no', detail: /in which .* is not mounted/ },
    { doublings: 10, verdict: 'unknown', detail: /more than 32 of its mounts hold the socket/ },
    { doublings: 12, verdict: 'unknown', detail: /\/mountinfo has \d+ mounts, more than 5000/ },
    { doublings: 14, verdict: 'unknown', detail: /\/mountinfo has more than 2097152 bytes/ },
  ]) {
    it(`does not stop explain and doctor, with 2^${doublings} mounts`, async (t) => {
      const server = await serve(t, { flags: ['--socket-mode', '0666'] });
      chmodSync(server.directory, 0o711);
      const { pid, another } = await manyMounts(t, server.directory, doublings);
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'latin1').split('\n').length;
      assert.ok(mounts > 2 ** doublings, String(mounts));
      for (let n = 0; n < 10; n += 1) another();
      const selectors = [`unix:uid:${NOBODY}`];
      await server.request('POST', '/v1/entries', { spiffe_id: `spiffe://${TRUST_DOMAIN}/web`, selectors });

      const explained = await beside(server, server.request('GET', `/v1/explain?pid=${pid}`));
      const { reach } = (explained.result.body as ExplanationJson).process!;
      assert.equal(reach.verdict, verdict);
      assert.match(reach.detail, detail);
      assert.ok(explained.longest < BUSY_MS, `explain: ${explained.longest} ms`);

      const doctor = await beside(server, server.request('GET', '/v1/doctor'));
      assert.equal(doctor.result.status, 200);
      assert.ok(doctor.longest < BUSY_MS, `doctor: ${doctor.longest} ms`);
    });
  }
});
