/** The health endpoint over real HTTP. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { call } from '../../envoy-examples/demo/http.ts';
import { startHealthServer } from '../../src/svid-files/health-server.ts';
import type { FilesHealth, PartStatus } from '../../src/svid-files/keeper.ts';

const PLAN = { host: '127.0.0.1', port: 0, livenessPath: '/live', readinessPath: '/ready' };

function health(...statuses: PartStatus[]): FilesHealth {
  const kinds = ['x509', 'jwt'] as const;
  const parts = statuses.map((status, at) => ({
    kind: kinds[at]!,
    files: [`/certs/${at}`],
    status,
    endsAt: undefined,
  }));
  return { parts, problems: [] };
}

async function start(t: TestContext, look: () => FilesHealth): Promise<string> {
  const server = await startHealthServer(PLAN, look);
  t.after(() => server.close());
  return `http://127.0.0.1:${server.port}`;
}

describe('the health endpoint', () => {
  const cases: readonly (readonly [PartStatus[], live: number, ready: number])[] = [
    [['unwritten', 'unwritten'], 200, 503],
    [['written', 'unwritten'], 200, 503],
    [['written', 'written'], 200, 200],
    [['written', 'failed'], 503, 503],
  ];
  for (const [statuses, live, ready] of cases) {
    it(`${statuses.join(', ')}: ${live} and ${ready}`, async (t) => {
      const url = await start(t, () => health(...statuses));
      const answers = [await call(`${url}/live`), await call(`${url}/ready?x=1`)];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [live, ready],
      );
      const { status, health: report } = JSON.parse(answers[1]!.body);
      assert.equal(status, ready === 200 ? 'OK' : 'Service Unavailable');
      assert.deepEqual(report.file_write_statuses, {
        x509_write_status: statuses[0],
        jwt_write_status: { '/certs/1': statuses[1] },
      });
    });
  }

  it('has nothing else, and is read only', async (t) => {
    const url = await start(t, () => health('written'));
    assert.equal((await call(`${url}/`)).status, 404);
    assert.equal((await call(`${url}/ready`, { method: 'POST', json: {} })).status, 405);
    const head = await call(`${url}/ready`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, '']);
  });

  it('answers although others hold as many connections as there may be', async (t) => {
    const url = await start(t, () => health('written'));
    const { hostname, port } = new URL(url);
    await Promise.all(
      Array.from({ length: 70 }, async () => {
        const socket = net.connect(Number(port), hostname);
        socket.on('error', () => undefined);
        t.after(() => socket.destroy());
        await once(socket, 'connect');
      }),
    );
    assert.equal((await call(`${url}/ready`)).status, 200);
  });

  it('fails where another program listens', async (t) => {
    const url = await start(t, () => health('written'));
    await assert.rejects(
      startHealthServer({ ...PLAN, port: Number(new URL(url).port) }, () => health()),
      /EADDRINUSE/,
    );
  });
});
