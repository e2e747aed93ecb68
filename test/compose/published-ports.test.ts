/** Ports of containers, reached by a neighbour of the host; and what docs/docker.md says that closes them. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { ContainerEngine } from '../support/container-engine.ts';
import { until } from '../support/process-state.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { OwnEngine, whyNoEngine } from './engine.ts';

const IMAGE = `sidekey-ports-${process.pid}:1`;
const HOST_ADDRESS = '192.0.2.1';
const SERVER = `require('node:http').createServer((_, response) => response.end('yes')).listen(80)`;

function whyNot(): string | undefined {
  const missing = ['ip', 'iptables', 'nsenter'].find(
    (command) => spawnSync(command, ['--version']).error !== undefined,
  );
  return whyNoEngine() ?? (missing === undefined ? undefined : `${missing} is not installed`);
}

/** Runs a command. @throws Error with what it said where it fails */
function run(...[command, ...args]: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command!, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** Two machines on one cable, each a network namespace. */
function makeNetwork(t: TestContext): { host: readonly string[]; neighbour: readonly string[] } {
  const [host, neighbour] = ['host', 'next'].map((name) => `sidekey-${process.pid}-${name}`);
  for (const name of [host!, neighbour!]) {
    run('ip', 'netns', 'add', name);
    t.after(() => spawnSync('ip', ['netns', 'del', name]));
  }
  const [onHost, onNeighbour] = [
    ['ip', '-n', host!],
    ['ip', '-n', neighbour!],
  ];
  run('ip', 'link', 'add', 'eth0', 'netns', host!, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', neighbour!);
  run(...onHost, 'link', 'set', 'lo', 'up');
  run(...onHost, 'addr', 'add', `${HOST_ADDRESS}/24`, 'dev', 'eth0');
  run(...onNeighbour, 'addr', 'add', '192.0.2.2/24', 'dev', 'eth0');
  for (const on of [onHost, onNeighbour]) run(...on, 'link', 'set', 'eth0', 'up');
  // nsenter, since `ip netns exec` hides the cgroups that the engine needs.
  const inside = (name: string) => ['nsenter', `--net=/run/netns/${name}`];
  const commands = { host: inside(host!), neighbour: inside(neighbour!) };
  // Docker closes FORWARD where it is Docker that switches this on.
  run(...commands.host, 'sysctl', '-qw', 'net.ipv4.ip_forward=0');
  // The attacker's own machine: no loopback of its own, so that 127.0.0.1 is another machine's address.
  run(...commands.neighbour, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
  run(...onNeighbour, 'route', 'add', '127.0.0.1', 'via', HOST_ADDRESS, 'dev', 'eth0', 'src', '192.0.2.2');
  run(...onNeighbour, 'route', 'add', 'default', 'via', HOST_ADDRESS);
  return commands;
}

test('a neighbour reaches no port on loopback and no container, once the rules of docs/docker.md are there', {
  skip: whyNot() ?? false,
  timeout: 120_000,
}, async (t) => {
  const { host, neighbour } = makeNetwork(t);
  const own = new OwnEngine(t, { launcher: host, bridge: true });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  engine.image(t, IMAGE);
  engine.docker('network', 'create', 'edge');
  engine.docker('network', 'create', '--internal', 'mesh');
  t.after(() => spawnSync('docker', ['-H', `unix://${own.socketPath}`, 'network', 'rm', 'edge', 'mesh']));
  const folder = tempDir(t);
  const start = (name: string, ...flags: readonly string[]) =>
    engine.run(IMAGE, { name, folder, flags }, process.execPath, '-e', SERVER);
  start('front', '--network', 'edge', '--publish', '127.0.0.1:10080:80');
  start('open', '--network', 'edge', '--publish', `${HOST_ADDRESS}:10081:80`);
  start('unpublished', '--network', 'edge');
  start('service', '--network', 'mesh');
  const addressOf = (name: string) => engine.inspect(name, '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}');

  /** Whether somebody has an answer; in 2 seconds, or else the packets were dropped. */
  const reaches = (from: readonly string[], place: string) => {
    const [command, ...words] = [...from, 'curl', '--silent', '--max-time', '2', `http://${place}/`];
    return spawnSync(command!, words, { encoding: 'utf8' }).stdout === 'yes';
  };
  const places = {
    loopback: '127.0.0.1:10080',
    published: addressOf('front'),
    unpublished: addressOf('unpublished'),
    internal: addressOf('service'),
    open: `${HOST_ADDRESS}:10081`,
  };
  const look = (from: readonly string[]) =>
    Object.entries(places).flatMap(([name, place]) => (reaches(from, place) ? [name] : []));
  for (const place of Object.values(places)) await until(() => reaches(host, place));

  const isOld = Number.parseInt(engine.docker('version', '--format', '{{.Server.Version}}'), 10) < 28;
  assert.deepEqual(look(neighbour), isOld ? ['loopback', 'published', 'open'] : ['open']);
  run(...host, 'iptables', '-P', 'FORWARD', 'ACCEPT');
  assert.deepEqual(look(neighbour), isOld ? ['loopback', 'published', 'unpublished', 'open'] : ['open']);

  const document = readFileSync(path.join(ROOT, 'docs/docker.md'), 'utf8');
  const rules = document.match(/^iptables -t raw .*$/gm) ?? [];
  assert.equal(rules.length, 2);
  for (const rule of rules) run(...host, ...rule.split(' '));
  assert.deepEqual(look(neighbour), ['open']);
  assert.deepEqual(look(host), Object.keys(places), 'the host itself still reaches all of them');
  const outward = engine.docker('exec', 'front', 'curl', '--silent', '--max-time', '2', `http://${places.open}/`);
  assert.equal(outward, 'yes', 'and containers their own peers');
});
