/** `/readyz` by parts, and since when each is ready or is not. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { ReadinessWatch } from '../../src/server/readiness.ts';
import { makeCa } from '../ca/upstream/pki.ts';
import { sidekey } from '../cli/support.ts';
import { parseMetrics, sumOf } from '../metrics/parse.ts';
import { TestClock } from '../support/clock.ts';
import { type Served, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const DAY = 86_400_000;

interface Part {
  readonly name: string;
  readonly ready: boolean;
  readonly since: string;
  readonly reason: string | null;
}

async function partsOf(server: Served): Promise<{ status: number; body: { parts: Part[]; detail?: string } }> {
  return server.request('GET', '/readyz');
}

describe('/readyz', { timeout: 60_000 }, () => {
  it('lists the parts when all are ready', async (t) => {
    const begun = Date.now();
    const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'] });
    const { status, body } = await partsOf(server);
    assert.equal(status, 200);
    assert.deepEqual(
      body.parts.map(({ name, ready, reason }) => [name, ready, reason]),
      ['admin_socket', 'admin_tcp', 'socket', 'authority'].map((name) => [name, true, null]),
    );
    for (const { since } of body.parts) {
      assert.ok(Date.parse(since) >= begun && Date.parse(since) <= Date.now(), since);
    }
    assert.deepEqual((await partsOf(server)).body, body, 'the times stay as they were');
  });

  it('names the part that is not ready, its reason and since when; its metric is 0 meanwhile', async (t) => {
    const folder = tempDir(t);
    const times = { notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY };
    const root = await makeCa({ ...times, name: 'root' });
    const file = (name: string) => path.join(folder, name);
    writeFileSync(file('ca.crt'), root.certificate.toString(), { mode: 0o600 });
    const disk = ['--upstream', 'disk', '--upstream-cert-file', file('ca.crt'), '--upstream-key-file', file('ca.key')];
    const begun = Date.now();
    const server = await serve(t, { flags: disk });
    await server.loggedLike(/files of the upstream are broken/);
    const before = await partsOf(server);
    assert.equal(before.status, 503);
    const broken = before.body.parts.find(({ name }) => name === 'authority')!;
    assert.equal(broken.ready, false);
    assert.match(broken.reason!, /ca\.key/);
    const since = Date.parse(broken.since);
    assert.ok(since >= begun && since <= Date.now());
    assert.ok(before.body.detail!.startsWith('authority: no intermediate can sign: '), before.body.detail);
    assert.ok(before.body.detail!.endsWith(`(since ${broken.since})`));
    assert.deepEqual(
      before.body.parts.filter(({ ready }) => ready).map(({ name }) => name),
      ['admin_socket', 'socket'],
    );
    const check = await sidekey(['healthcheck', '--admin-socket', server.adminSocket]);
    assert.equal(check.status, 1);
    assert.match(check.stderr, /authority: .*\(since .*\) \(ERR_NOT_READY\)/s);
    const metric = async () => {
      const metrics = parseMetrics((await server.request('GET', '/metrics')).body);
      return sumOf(metrics, 'sidekey_ready', { part: 'authority' });
    };
    assert.equal(await metric(), 0);

    const mended = Date.now();
    writeFileSync(file('ca.key'), root.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    const after = await wait('the authority to be ready', {
      look: () => partsOf(server),
      until: ({ status }) => status === 200,
    });
    const ready = after.body.parts.find(({ name }) => name === 'authority')!;
    assert.ok(Date.parse(ready.since) >= mended, `${ready.since}`);
    assert.equal(await metric(), 1);
  });
});

describe('the watch over the parts', () => {
  it('notices a change that nobody asks about, within a second', () => {
    const clock = new TestClock();
    let reason: string | undefined;
    const watch = new ReadinessWatch(clock, { one: () => reason, other: () => undefined });
    const begun = clock.now();
    clock.advance(5_000);
    reason = 'it broke';
    clock.advance(10_000);
    reason = 'it is broken in another way';
    clock.advance(10_000);
    const { ready, parts } = watch.look();
    assert.equal(ready, false);
    const [one, other] = parts;
    assert.deepEqual([one!.ready, one!.reason], [false, 'it is broken in another way']);
    assert.ok(one!.since > begun + 5_000 && one!.since <= begun + 6_000, `${one!.since - begun}`);
    assert.deepEqual([other!.ready, other!.since], [true, begun]);
    reason = undefined;
    assert.deepEqual([watch.look().ready, watch.look().parts[0]!.since], [true, clock.now()]);
    watch.close();
    assert.equal(clock.pending, 0);
  });
});
