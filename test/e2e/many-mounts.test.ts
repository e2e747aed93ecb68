/** An unprivileged user with tens of thousands of mounts does not stop the server when root asks about its processes. */

import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ExplanationJson } from '../../src/admin/explain-schema.ts';
import { NOBODY } from '../support/child.ts';
import { manyMounts, whyNoManyMounts } from '../support/many-mounts.ts';
import { processorTimeOf } from '../support/processor-time.ts';
import { type Answer, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

/** The processor time that one answer about such processes may take, in milliseconds. In quadratic time it took 111 s. */
const USED_MS = 10_000;

/** The answer, and the processor time that the server used for it, in milliseconds. */
async function measured(server: Served, path: string): Promise<{ answer: Answer; used: number }> {
  const before = processorTimeOf(server.pid);
  const answer = await server.request('GET', path);
  return { answer, used: processorTimeOf(server.pid) - before };
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

      const explained = await measured(server, `/v1/explain?pid=${pid}`);
      const { reach } = (explained.answer.body as ExplanationJson).process!;
      assert.equal(reach.verdict, verdict);
      assert.match(reach.detail, detail);
      assert.ok(explained.used < USED_MS, `explain: ${explained.used} ms`);

      const doctor = await measured(server, '/v1/doctor');
      assert.equal(doctor.answer.status, 200);
      assert.ok(doctor.used < USED_MS, `doctor: ${doctor.used} ms`);
    });
  }
});
