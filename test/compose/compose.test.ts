/** `docker compose up`, proven from outside: real containers on an engine of the test's own. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { withFullHandshakes } from '../../envoy-examples/demo/alterations.ts';
import { readBootstrap } from '../../envoy-examples/demo/bootstraps.ts';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { Demo, rowsOf } from './demo.ts';
import { OwnEngine, whyNoEngine } from './engine.ts';
import { threeHosts } from './hosts.ts';
import { makeStandIns } from './standin-images.ts';

const ENVOY = 'envoyproxy/envoy:v1.40.0';
const SIDEKEY = 'sidekey:0.1.0';
const PURPLE = 'spiffe://ilinux.io/service-purple';
const GRAY = 'spiffe://ilinux.io/service-gray';
/** Own layers of the image, in bytes. */
const LARGEST_IMAGE = 60e6;

const colour = (body: string) => (JSON.parse(body) as { colour: string; caller: string | null }).colour;

/** Waits until as many callers of this name have the SVID as there should be, by their pids on this machine. */
async function haveSvid(demo: Demo, id: string, pids: readonly number[]): Promise<void> {
  await wait(`processes ${pids.join(', ')} to have ${id}`, {
    look: () => demo.rows(),
    until: (rows) =>
      pids.every((pid) => rows.some((row) => row.pid === pid && row.name === id && row.state === 'in_sync')),
    within: 60_000,
  });
}

async function answers(demo: Demo, place: string): Promise<void> {
  await wait(`${place} to give 200`, {
    look: () => demo.get(place),
    until: ({ status }) => status === 200,
    within: 60_000,
  });
}

test('docker compose up', { skip: whyNoEngine() ?? false }, async (t) => {
  const engine = new OwnEngine(t);
  await engine.start();
  await makeStandIns({ ...process.env, ...engine.env });
  const demo = await Demo.on(engine);
  await demo.build();
  await demo.compose('up', '-d', '--wait');

  await t.test('each service is reached through mTLS, and each side knows the other', async () => {
    for (const service of ['service-gray', 'service-purple']) {
      const { status, headers, body } = await demo.get(`/service/${service.slice('service-'.length)}`);
      assert.equal(status, 200);
      assert.equal(headers['x-service-identity'], `spiffe://ilinux.io/${service}`);
      assert.equal((JSON.parse(body) as { caller: string }).caller, 'spiffe://ilinux.io/front-envoy');
      assert.equal(service, `service-${colour(body)}`);
    }
  });

  await t.test('the identities went to the main processes of those containers', async () => {
    for (const service of ['front-envoy', 'service-gray', 'service-purple']) {
      await haveSvid(demo, `spiffe://ilinux.io/${service}`, await demo.pids(service));
    }
  });

  await t.test('a service that no entry is for gets nothing', async () => {
    const [pid] = await demo.pids('stranger');
    const rows = await wait('the stranger, who may be the last to start, to ask', {
      look: async () => (await demo.rows()).filter((row) => row.pid === pid),
      until: (found) => found.some(({ name }) => name === PURPLE),
      within: 60_000,
    });
    assert.deepEqual(new Set(rows.map(({ state }) => state)), new Set(['held']));
  });

  await t.test('who follows the redirect inside, where the ports are 80 and 443, comes to the service', async () => {
    const code = "fetch('http://front-envoy/service/gray').then((answer) => answer.text()).then(console.log)";
    const flags = ['--network', 'sidekey-demo_mesh', '--env', 'NODE_TLS_REJECT_UNAUTHORIZED=0'];
    const told = await engine.docker(
      'run',
      '--rm',
      ...flags,
      'sidekey-demo:0.1.0',
      'node',
      '--no-warnings',
      '-e',
      code,
    );
    assert.equal(colour(told), 'gray');
  });

  await t.test('nothing but front-envoy has a port, on loopback, or a way out; Sidekey has no network', async () => {
    const ports = (await engine.docker('ps', '--format', '{{.Names}} {{.Ports}}')).split('\n');
    const published = ports.filter((line) => line.includes('->'));
    assert.equal(published.length, 1, published.join('\n'));
    assert.match(published[0]!, /front-envoy.* 127\.0\.0\.1:\d+->80\/tcp, 127\.0\.0\.1:\d+->443\/tcp$/);
    const format = '{{range .NetworkSettings.Networks}}{{.NetworkID}} {{end}}';
    for (const service of ['front-envoy', 'service-gray', 'service-gray-app', 'stranger', 'sidekey']) {
      const id = await demo.compose('ps', '--quiet', service);
      const networks = (await engine.docker('inspect', '--format', format, id)).split(' ').filter((one) => one !== '');
      const kinds =
        networks.length === 0
          ? ''
          : await engine.docker('network', 'inspect', '-f', '{{.Internal}} {{.Driver}}', ...networks);
      const expected = {
        'front-envoy': 'false bridge true bridge',
        sidekey: 'false null',
        'service-gray-app': 'true bridge',
        stranger: 'true bridge',
      };
      assert.equal(
        kinds.split('\n').sort().join(' '),
        (expected as Record<string, string>)[service] ?? 'true bridge true bridge',
        service,
      );
    }
  });

  await t.test('Sidekey has no capability, Envoy is uid 101, and can not touch the pipe', async () => {
    const status = async (service: string) => readFileSync(`/proc/${(await demo.pids(service))[0]}/status`, 'utf8');
    assert.match(await status('sidekey'), /^CapEff:\t0+$/m);
    assert.match(await status('service-gray'), /^Uid:\t101\t101\t101\t101$/m);
    const put = demo.exec('service-gray', 'bash', '-c', ': > /run/sidekey/agent.sock.new');
    await assert.rejects(put, /Read-only file system|Permission denied/);
  });

  await t.test('the image adds 60 MB to its base at most', async () => {
    const base = /^ARG NODE=(.+)$/m.exec(readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8'))![1]!;
    const own = (await engine.imageSize(SIDEKEY)) - (await engine.imageSize(base));
    assert.ok(own > 0 && own <= LARGEST_IMAGE, `${own}`);
  });

  await t.test('a container that is restarted gets its identity again', async () => {
    const [before] = await demo.pids('service-gray');
    await demo.compose('restart', 'service-gray');
    const [after] = await demo.pids('service-gray');
    assert.notEqual(after, before);
    await haveSvid(demo, GRAY, [after!]);
    await answers(demo, '/service/gray');
  });

  await t.test("who has another's label but not its image is refused; with both it is let in", async () => {
    const flags = ['--label', 'com.docker.compose.service=service-purple', '--network', 'none', '--user', '101:2000'];
    const mount = (from: string, to: string) => ['--volume', `${from}:${to}:ro`];
    const pipe = mount('sidekey-demo_pipe', '/run/sidekey');
    const fetch = engine.docker('run', '--rm', ...flags, ...pipe, SIDEKEY, 'fetch', '--spiffe-id', PURPLE);
    await assert.rejects(fetch, /no secret for this caller/);

    const config = mount(path.join(ROOT, 'envoy-examples/service-purple/envoy.yaml'), '/etc/envoy/envoy.yaml');
    await engine.docker('run', '-d', '--name', 'twin', ...flags, ...pipe, ...config, ENVOY);
    await haveSvid(demo, PURPLE, [Number(await engine.docker('inspect', '-f', '{{.State.Pid}}', 'twin'))]);
    await engine.docker('rm', '-f', 'twin');
  });

  await t.test('three of service-gray have its identity, and are called', async () => {
    await demo.compose('up', '-d', '--wait', '--no-recreate', '--scale', 'service-gray=3');
    const pids = await demo.pids('service-gray');
    assert.equal(pids.length, 3);
    await haveSvid(demo, GRAY, pids);
    await wait('front-envoy to have sent requests to all three', {
      look: async () => {
        await demo.get('/service/gray');
        return demo.envoyAdmin('front-envoy', '/clusters');
      },
      until: (text) => (text.match(/^service-gray::[\d.:]+::rq_success::[1-9]/gm) ?? []).length === 3,
      within: 60_000,
    });
  });

  await handshakePerRequest(t, demo);

  await t.test('Sidekey is restarted under traffic: no request fails, though each makes a handshake', async () => {
    const before = await demo.handshakes('service-purple');
    const { requests, failed } = await demo.under('/service/purple', async () => {
      await demo.compose('restart', 'sidekey');
      await haveSvid(demo, PURPLE, await demo.pids('service-purple'));
    });
    assert.ok(requests > 10);
    assert.deepEqual(failed, []);
    assert.ok((await demo.handshakes('service-purple')) >= before + requests);
  });

  await t.test('the engine hangs: handshakes go on; it is back: so is all else', async () => {
    await answers(demo, '/service/purple');
    const before = await demo.handshakes('service-purple');
    engine.pause();
    try {
      for (let i = 0; i < 20; i += 1) assert.equal((await demo.get('/service/purple')).status, 200);
    } finally {
      engine.goOn();
    }
    assert.ok((await demo.handshakes('service-purple')) >= before + 20);
    await demo.compose('restart', 'service-purple');
    await haveSvid(demo, PURPLE, await demo.pids('service-purple'));
    await answers(demo, '/service/purple');
  });

  await t.test('the engine is restarted: the containers come back, and so do their identities', async () => {
    await engine.stop();
    await engine.start();
    await answers(demo, '/service/purple');
    await haveSvid(demo, PURPLE, await demo.pids('service-purple'));
  });

  await t.test('without pid: host Sidekey says in one line what is wrong, and doctor what mends it', async (t) => {
    const without = path.join(tempDir(t), 'pid.yaml');
    writeFileSync(without, 'services: { sidekey: { pid: !reset null } }\n');
    await demo.compose('-f', 'compose.yaml', '-f', without, 'up', '-d', '--wait', '--no-deps', 'sidekey');
    // As docs/docker.md quotes it.
    const doc = readFileSync(path.join(ROOT, 'docs/docker.md'), 'utf8');
    const [, quoted] = /^\| `pid: host` \|.*`(the caller [^`]+)`/m.exec(doc) ?? [];
    await wait(`a line that says: ${quoted}`, {
      look: () => demo.compose('logs', '--no-log-prefix', 'sidekey'),
      until: (log) => log.split('\n').some((line) => line.includes(quoted!) && line.includes('pid: host')),
      within: 60_000,
    });
    await assert.rejects(demo.exec('sidekey', 'sidekey', 'doctor'), /pid-namespace\].*fix: .*compose: pid: host/s);
  });

  await t.test('as another user, in the group of the engine, it does the same', async (t) => {
    await demo.compose('down', '-v');
    await demo.build('--build-arg', 'RUN_AS=1001', 'sidekey');
    const as = path.join(tempDir(t), 'user.yaml');
    const { gid: group } = statSync(engine.socketPath);
    writeFileSync(as, `services: { sidekey: { group_add: !override ["${group}"] } }\n`);
    await demo.compose('-f', 'compose.yaml', '-f', as, 'up', '-d', '--wait', 'service-gray');
    assert.match(readFileSync(`/proc/${(await demo.pids('sidekey'))[0]}/status`, 'utf8'), /^Uid:\t1001\t/m);
    await haveSvid(demo, GRAY, await demo.pids('service-gray'));
  });

  await t.test('docker compose down -v leaves nothing', async () => {
    await demo.compose('down', '-v');
    assert.equal(await engine.docker('ps', '--all', '--quiet'), '');
    assert.equal(await engine.docker('volume', 'ls', '--quiet'), '');
    assert.doesNotMatch(await engine.docker('network', 'ls'), /sidekey-demo/);
  });

  await t.test('with compose.admin.yaml the admin API is on loopback of the host, for who has the token', async () => {
    const files = ['-f', 'compose.yaml', '-f', 'compose.admin.yaml'];
    await demo.build('sidekey');
    await demo.compose(...files, 'up', '-d', '--wait', '--no-deps', 'sidekey');
    const token = await demo.exec('sidekey', 'cat', '/var/lib/sidekey/admin.token');
    assert.equal(await demo.admin('/v1/entries'), 401);
    assert.equal(await demo.admin('/v1/entries', token), 200);
    assert.match(await engine.docker('ps', '--format', '{{.Ports}}'), /^127\.0\.0\.1:\d+->8081\/tcp$/);
    await demo.compose(...files, 'down', '-v');
  });

  await t.test('compose.hosts.yaml: three hosts, each with an agent', (t) => threeHosts(t, engine));

  await t.test("the ten lines of docs/docker.md give somebody's own Envoy its identity", (t) => tenLines(t, demo));
});

/** From now on no request goes over a connection, or resumes a TLS session, from before. */
async function handshakePerRequest(t: TestContext, demo: Demo): Promise<void> {
  const folder = tempDir(t);
  const [bootstrap, file] = [path.join(folder, 'envoy.yaml'), path.join(folder, 'handshakes.yaml')];
  writeFileSync(bootstrap, JSON.stringify(withFullHandshakes(readBootstrap('front-envoy'), 1)), { mode: 0o644 });
  writeFileSync(file, `services: { front-envoy: { volumes: ["${bootstrap}:/etc/envoy/envoy.yaml:ro"] } }\n`);
  await demo.compose('-f', 'compose.yaml', '-f', file, 'up', '-d', '--wait', '--no-deps', 'front-envoy');
}

async function tenLines(t: TestContext, demo: Demo): Promise<void> {
  const { engine } = demo;
  await demo.build('sidekey');
  const folder = tempDir(t);
  const write = (name: string, text: string) => {
    writeFileSync(path.join(folder, name), text, { mode: 0o644 });
    return path.join(folder, name);
  };
  const doc = readFileSync(path.join(ROOT, 'docs/docker.md'), 'utf8');
  const [lines, client, entries] = [...doc.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
  assert.equal(lines!.trim().split('\n').length, 10);
  mkdirSync(path.join(folder, 'sidekey'));
  write('sidekey/entries.yaml', entries!);
  const bootstrap = readFileSync(path.join(ROOT, 'envoy-examples/service-gray/envoy.yaml'), 'utf8');
  write(
    'envoy.yaml',
    bootstrap.replaceAll('ilinux.io/service-gray', 'example.org/web').replaceAll('ilinux.io', 'example.org'),
  );
  const own = `services: { web: { image: "${ENVOY}", volumes: ["./envoy.yaml:/etc/envoy/envoy.yaml:ro"] } }`;
  const files = [
    write('compose.yaml', own),
    write('ten.yaml', lines!.replace('/var/run/docker.sock:', `${engine.socketPath}:`)),
    write('client.yaml', client!),
  ].flatMap((file) => ['-f', file]);
  const compose = (...args: string[]) => engine.run(['compose', '-p', 'own', ...files, ...args]);
  await compose('up', '-d', '--wait');
  const id = await compose('ps', '-q', 'web');
  const pid = Number(await engine.docker('inspect', '-f', '{{.State.Pid}}', id));
  await wait('web to have its identity', {
    look: async () => rowsOf(await compose('exec', '-T', 'sidekey', 'sidekey', 'proxies', '--output', 'json')),
    until: (rows) =>
      rows.some((row) => row.pid === pid && row.name === 'spiffe://example.org/web' && row.state === 'in_sync'),
    within: 60_000,
  });
  // As sed -i does.
  const other = write('sidekey/entries.new', entries!.replaceAll('example.org/web', 'example.org/other'));
  renameSync(other, path.join(folder, 'sidekey/entries.yaml'));
  await compose('kill', '-s', 'HUP', 'sidekey');
  await wait('the replaced file to be applied', {
    look: () => compose('exec', '-T', 'sidekey', 'sidekey', 'entry', 'list', '--output', 'json'),
    until: (text) => text.includes('spiffe://example.org/other'),
  });
}
