/** compose.hosts.yaml, proven from outside; with the images of compose.yaml, which take long to build. */

import assert from 'node:assert/strict';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { ROOT } from '../support/serve.ts';
import { Demo } from './demo.ts';
import type { OwnEngine } from './engine.ts';

const PURPLE = 'spiffe://ilinux.io/service-purple';
/** The selector by which the entries know a host's agent. */
const NAME = 'x509pop:subject:cn:';
const WITHIN = 60_000;

interface Agents {
  readonly agents: readonly { readonly id: string; readonly selectors: readonly string[] }[];
}

/** @param engine with the images built */
export async function threeHosts(t: TestContext, engine: OwnEngine): Promise<void> {
  const demo = await Demo.on(engine, 'compose.hosts.yaml');
  const json = async (...args: readonly string[]) =>
    JSON.parse(await demo.exec('sidekey', 'sidekey', ...args, '--output', 'json'));
  const agents = async () => ((await json('agent', 'list')) as Agents).agents;
  await demo.compose('up', '-d', '--wait');

  await t.test('each service is reached through mTLS, and each side knows the other', () => answered(demo));

  await t.test('three agents are attached, each with the certificate of its host', async () => {
    const names = (await agents()).flatMap(({ selectors }) => selectors.filter((one) => one.startsWith(NAME)));
    assert.deepEqual(names.sort(), [`${NAME}front-envoy`, `${NAME}gray`, `${NAME}purple`]);
  });

  await t.test('the server has no warning of entries that are for other hosts', async () => {
    const log = await demo.compose('logs', '--no-log-prefix', 'sidekey');
    assert.match(log, /"agents of other hosts may attach"/);
    assert.doesNotMatch(log, /an entry is probably a mistake/);
    const { findings } = (await json('doctor')) as { findings: readonly { readonly severity: string }[] };
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'error'),
      [],
    );
  });

  await t.test('an Envoy that has the pipe of another host gets nothing', async () => {
    const bootstrap = path.join(ROOT, 'envoy-examples/service-purple/envoy.yaml');
    const flags = ['--label', 'com.docker.compose.service=service-purple', '--network', 'none', '--user', '101:2000'];
    const mounts = (host: string) =>
      [`sidekey-hosts_${host}-pipe:/run/sidekey:ro`, `${bootstrap}:/etc/envoy/envoy.yaml:ro`].flatMap((mount) => [
        '--volume',
        mount,
      ]);
    for (const [host, state] of [
      ['gray', 'held'],
      ['purple', 'in_sync'],
    ] as const) {
      const name = `moved-to-${host}`;
      await engine.docker('run', '-d', '--name', name, ...flags, ...mounts(host), 'envoyproxy/envoy:v1.40.0');
      const pid = Number(await engine.docker('inspect', '-f', '{{.State.Pid}}', name));
      await wait(`it to be ${state} at the agent of ${host}`, {
        look: () => demo.rows(`agent-${host}`),
        until: (rows) => rows.some((row) => row.pid === pid && row.name === PURPLE && row.state === state),
        within: WITHIN,
      });
      await engine.docker('rm', '-f', name);
    }
  });

  await t.test('agents have neither a capability nor another way out than to the server', async () => {
    const format =
      '{{json .HostConfig.CapDrop}} {{json .HostConfig.CapAdd}} {{json .HostConfig.ReadonlyRootfs}} {{len .NetworkSettings.Networks}}';
    for (const agent of ['agent-front-envoy', 'agent-gray', 'agent-purple']) {
      const id = await demo.compose('ps', '--quiet', agent);
      assert.equal(await engine.docker('inspect', '--format', format, id), '["ALL"] null true 1');
    }
    assert.equal(await engine.docker('network', 'inspect', '-f', '{{.Internal}}', 'sidekey-hosts_hosts'), 'true');
  });

  await t.test('the server is stopped: requests are answered; it is back: so are the agents', async () => {
    await demo.compose('stop', 'sidekey');
    await answered(demo);
    await demo.compose('restart', 'service-purple'); // the agent has its SVID still
    await wait('/service/purple to give 200', {
      look: () => demo.get('/service/purple'),
      until: ({ status }) => status === 200,
      within: WITHIN,
    });
    await demo.compose('up', '-d', '--wait', '--no-deps', 'sidekey');
  });

  await t.test('the agent of a host is banned: a new Envoy of that host gets nothing, others go on', async () => {
    const gray = (await agents()).find(({ selectors }) => selectors.includes(`${NAME}gray`));
    await demo.exec('sidekey', 'sidekey', 'agent', 'ban', gray!.id);
    await wait('the agent to say why it ends', {
      look: () => demo.compose('logs', '--no-log-prefix', 'agent-gray'),
      until: (log) => /banned/.test(log),
      within: WITHIN,
    });
    assert.equal((await demo.get('/service/purple')).status, 200);
    await demo.compose('restart', 'service-gray');
    assert.equal((await demo.get('/service/gray')).status, 503);
  });

  await t.test('down -v leaves nothing', async () => {
    await demo.compose('down', '-v');
    assert.equal(await engine.docker('volume', 'ls', '--quiet', '--filter', 'name=sidekey-hosts'), '');
  });
}

async function answered(demo: Demo): Promise<void> {
  for (const service of ['service-gray', 'service-purple']) {
    const { status, headers, body } = await demo.get(`/service/${service.slice('service-'.length)}`);
    assert.equal(status, 200);
    assert.equal(headers['x-service-identity'], `spiffe://ilinux.io/${service}`);
    assert.equal((JSON.parse(body) as { caller: string }).caller, 'spiffe://ilinux.io/front-envoy');
  }
}
