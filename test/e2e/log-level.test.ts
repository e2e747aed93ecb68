/** The level of a running server's log: `sidekey log-level` and `/v1/log-level`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { call } from '../admin/support.ts';
import { sidekey } from '../cli/support.ts';
import { SdsClient } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;

function level(server: Served, ...args: string[]) {
  return sidekey(['log-level', ...args, '--admin-socket', server.adminSocket]);
}

/** Has a caller do something that is logged at debug by its own log. */
async function fetchOnce(server: Served): Promise<void> {
  const client = new SdsClient(server.socket);
  await client.fetch({ resourceNames: [WEB] }).catch(() => undefined);
  client.close();
}

/** A line in the log that only comes after all earlier ones. */
async function mark(server: Served): Promise<void> {
  await server.request('POST', '/v1/ca/rotate', { role: 'intermediate' });
}

describe('sidekey log-level', { timeout: 60_000 }, () => {
  it('shows and changes the level of a server and of its callers, until a restart', async (t) => {
    const server = await serve(t, { logLevel: 'info' });
    const shown = await level(server);
    assert.deepEqual([shown.status, shown.stdout], [0, 'level  info\n'], shown.stderr);
    const debugLines = () => server.log.filter((line) => line.level === 'debug').length;
    await fetchOnce(server);
    await mark(server);
    assert.equal(debugLines(), 0);

    const changed = await level(server, 'debug');
    assert.equal(changed.status, 0, changed.stderr);
    assert.match(changed.stdout, /^level {2}debug\nThe level is info again after a restart: /);
    const line = await server.logged('log level changed until the server restarts');
    assert.deepEqual([line.level, line.from, line.to, line.setting], ['warn', 'info', 'debug', 'info']);
    await fetchOnce(server);
    await server.logged('caller attested');

    const json = await level(server, '-o', 'json');
    assert.deepEqual(JSON.parse(json.stdout), { level: 'debug', setting: 'info' });
    assert.equal((await level(server, '-o', 'name')).stdout, 'debug\n');
    assert.equal((await level(server, 'info')).stdout, 'level  info\n');
    const before = debugLines();
    await fetchOnce(server);
    await mark(server);
    assert.equal(debugLines(), before);

    await level(server, 'debug');
    await server.stop();
    const again = await serve(t, { place: server, logLevel: 'info' });
    assert.equal((await level(again)).stdout, 'level  info\n');
  });

  it('can silence the log, and bring it back', async (t) => {
    const server = await serve(t, { logLevel: 'info' });
    await level(server, 'silent');
    await server.logged('log level changed until the server restarts');
    const lines = server.log.length;
    await mark(server);
    await level(server, 'info');
    await mark(server);
    await server.loggedLike(/intermediate created/);
    const said = server.log.slice(lines).map(({ msg }) => msg);
    assert.equal(said[0], 'log level changed until the server restarts', said.join('\n'));
  });

  it('refuses what is no level, and changes nothing', async (t) => {
    const server = await serve(t, { logLevel: 'info' });
    const wrong = await level(server, 'verbose');
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /trace, debug, info, warn, error, fatal, silent/);
    for (const [body, path, problem] of [
      [{ level: 'degub' }, '/level', /not a level: is debug meant\?/],
      [{ level: 20 }, '/level', /not a level/],
      [{}, '/level', /missing/],
      [{ level: 'debug', for: '5m' }, '/for', /no such field/],
      [['debug'], '', /not a JSON object/],
      [{ level: 'DEBUG' }, '/level', /not a level: is debug meant\?/],
    ] as const) {
      const answer = await server.request('PUT', '/v1/log-level', body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      assert.equal(answer.body.errors[0].path, path);
      assert.match(answer.body.errors[0].problem, problem);
    }
    assert.deepEqual((await server.request('GET', '/v1/log-level')).body, { level: 'info', setting: 'info' });
  });

  it('needs the token on TCP', async (t) => {
    const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'] });
    const { port } = (await server.logged('admin API listens on TCP')) as { port: number };
    for (const [method, json] of [
      ['GET', undefined],
      ['PUT', { level: 'trace' }],
    ] as const) {
      assert.equal((await call(port, method, '/v1/log-level', { json })).status, 401);
    }
    assert.equal((await server.request('GET', '/v1/log-level')).body.level, 'debug');
  });
});
