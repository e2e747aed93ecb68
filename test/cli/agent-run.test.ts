/** `sidekey agent run` as a user starts it, with a server of its own, and the commands that ask it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { DOMAIN_ID, give, joining, runAgent, spawnAgent, startFleet } from '../support/fleet.ts';
import { openNotifySocket } from '../support/notify-socket.ts';
import { makePlace, type Served } from '../support/serve.ts';
import { type Ran, sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';

/** A server, and an agent that has joined it with a token and has one entry. */
async function startBoth(t: TestContext, env: Readonly<Record<string, string>> = {}) {
  const { server, port, begin } = await startFleet(t);
  const place = makePlace(t);
  const flags = await joining(server, place, `${DOMAIN_ID}/host/web-1`);
  const agent = runAgent(t, place, port, flags, env);
  const id = String((await agent.logged('the agent is attested')).agent);
  const entry = await give(server, WEB, id);
  await agent.logged('serving');
  await wait('the entry', {
    look: async () => (await agent.request('GET', '/v1/entries')).body.entries?.length,
    until: (found) => found === 1,
    within: 20_000,
  });
  return { server, port, begin, agent, id, entry, flags };
}

/** Runs a command that asks this agent. */
function ask({ adminSocket }: Served, ...args: readonly string[]): Promise<Ran> {
  return sidekey([...args, '--admin-socket', adminSocket]);
}

test('commands about the host ask the agent; the others say which server to ask', async (t) => {
  const { server, port, agent, id, entry } = await startBoth(t);
  assert.equal((await ask(agent, 'healthcheck')).stdout, 'status  ready\n');
  assert.equal((await ask(agent, 'entry', 'list', '--output', 'name')).stdout, `${entry}\n`);
  const fetched = await sidekey(['fetch', 'x509', '--socket', agent.socket]);
  assert.match(fetched.stdout, new RegExp(`^${WEB} `, 'm'));
  const proxies = JSON.parse((await ask(agent, 'proxies', '--output', 'json')).stdout);
  assert.deepEqual(proxies.proxies, []);
  assert.match((await ask(agent, 'log-level', 'debug')).stdout, /^level {2}debug\n/);
  const explained = await ask(agent, 'explain', '--pid', String(process.pid));
  assert.match(explained.stdout, new RegExp(`^ {2}${WEB} by entry ${entry}`, 'm'));
  const lacking = await ask(agent, 'explain', '--pid', String(process.pid), '--spiffe-id', 'spiffe://ilinux.io/other');
  const command = new RegExp(`entry create --spiffe-id spiffe://ilinux.io/other .*--parent-id ${id}$`, 'm');
  assert.match(lacking.stdout, command);
  assert.doesNotMatch(lacking.stdout, /--admin-socket/);

  for (const [words, what] of [
    [['ca', 'show'], 'GET /v1/ca'],
    [['entry', 'delete', entry], `DELETE /v1/entries/${entry}`],
  ] as const) {
    const { status, stderr } = await ask(agent, ...words);
    const told = `this is an agent, and ${what} is answered by its server alone (127.0.0.1:${port}): ask there, on its host or with --admin-url (ERR_ASK_SERVER)\n`;
    assert.deepEqual([status, stderr], [1, `sidekey: ${told}`]);
  }
  assert.equal((await server.request('GET', `/v1/entries/${entry}`)).status, 200);
});

test('doctor judges the connection of an agent; the agent stays ready while its server is away', async (t) => {
  const { server, port, begin, agent } = await startBoth(t);
  const findings = async () => {
    const { stdout, status } = await ask(agent, 'doctor', '--output', 'json');
    const { findings: all } = JSON.parse(stdout) as { findings: { rule: string; severity: string; place: string }[] };
    return { status, all, rules: all.map(({ rule }) => rule) };
  };
  const before = await findings();
  assert.deepEqual(
    [before.status, before.rules.filter((rule) => /^(server|agent|no-auth|insecure)/.test(rule))],
    [0, []],
  );
  await server.stop();
  const away = await wait('doctor to see it', {
    look: findings,
    until: ({ rules }) => rules.includes('server-away'),
    within: 20_000,
  });
  assert.equal(away.status, 1);
  assert.partialDeepStrictEqual(away.all[0], { severity: 'error', place: `127.0.0.1:${port}` });
  const { status, body } = await agent.request('GET', '/readyz');
  assert.deepEqual([status, body.warnings.length], [200, 1]);
  assert.match(
    body.warnings[0],
    /^the server 127\.0\.0\.1:\d+ has been away for \d+ s: .*SVIDs are served until they end/,
  );
  await begin();
  await wait('the agent to be back', {
    look: findings,
    until: ({ rules }) => !rules.includes('server-away'),
    within: 30_000,
  });
});

test('a service manager is told when it is ready; SIGHUP changes nothing; SIGTERM ends it with 0', async (t) => {
  const manager = openNotifySocket(t);
  const { agent, port, flags } = await startBoth(t, { NOTIFY_SOCKET: manager.name });
  assert.match(await manager.next(/^READY=1/), /serving ilinux\.io as an agent of 127\.0\.0\.1:\d+: \d entries/);
  process.kill(agent.pid, 'SIGHUP');
  await agent.loggedLike(/nothing to read again/);
  assert.equal((await agent.request('GET', '/readyz')).status, 200);
  assert.deepEqual(await agent.stop('SIGTERM'), { code: 0, signal: null });
  await manager.next(/^STOPPING=1/);
  // Its own SVID is enough from then on.
  const again = runAgent(t, agent, port, flags);
  await again.logged('serving');
  assert.deepEqual(await again.stop('SIGINT'), { code: 0, signal: null });
});

test('an agent that is banned ends with 1 and says why', async (t) => {
  const { server, agent, id, port } = await startBoth(t);
  await server.request('POST', `/v1/agents/${encodeURIComponent(id)}/ban`);
  const { code } = await wait('its end', { look: () => agent.stop('SIGCONT'), until: () => true, within: 30_000 });
  assert.equal(code, 1);
  const child = spawnAgent(agent, port, []);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, 1);
  assert.match(stderr, /^sidekey: .*banned.* \(ERR_\w+\)\n/);
});

test('wrong settings end the start with 2, and a token on argv is warned of', async (t) => {
  const none = await sidekey(['agent', 'run', '--trust-domain', 'ilinux.io']);
  assert.deepEqual(
    [none.status, none.stderr],
    [2, 'sidekey: --server: it is not set; give --server HOST:PORT (ERR_CONFIG)\n'],
  );
  // Nobody listens on port 1.
  const child = spawnAgent(makePlace(t), 1, ['--join-token', 'abc', '--insecure-bootstrap']);
  t.after(() => child.kill('SIGKILL'));
  const warning =
    'sidekey: warning: --join-token: every user of this host can read the token in the list of processes; give it with --join-token-file FILE or SIDEKEY_JOIN_TOKEN\n';
  const [text] = await once(child.stderr!.setEncoding('utf8'), 'data');
  assert.equal(String(text).slice(0, warning.length), warning);
  const ended = once(child, 'close');
  child.kill('SIGTERM');
  await ended;
});
