/** The attestation of callers in containers: by a real engine, and by one that hangs. */

import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { createWhyContained } from '../../src/attest/contained.ts';
import { createDockerAttestor } from '../../src/attest/docker/attestor.ts';
import { createEngine } from '../../src/attest/docker/engine.ts';
import { createExitWatcher } from '../../src/attest/exit-watcher.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { openPeer } from '../../src/attest/peer.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { Owners } from '../../src/limits/owner.ts';
import { Turns } from '../../src/limits/turns.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makeCgroup, whyNoCgroup } from '../../test/support/cgroup.ts';
import { type ContainerEngine, engines, NO_ENGINE } from '../../test/support/container-engine.ts';
import { until } from '../../test/support/process-state.ts';
import { SdsClient } from '../../test/support/sds-client.ts';
import { makePlace, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { StandInEngine } from '../../test/support/stand-in-engine.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { sharedNow } from '../load/program.ts';

const CONTAINERS = 50;
const STREAMS = 1_000;
const ROUNDS = 20;
const HANGS = 5;

export async function dockerAttestation(cleanup: Cleanup): Promise<Figure[]> {
  return [...(await withEngine(cleanup)), ...(await whileHanging(cleanup))];
}

/** Tells the bench that it is there, and opens as many connections as it is told: Node would be too heavy 50 times. */
const CALLER = `use IO::Socket::UNIX;
my $control = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $ARGV[0]) or die "control: $!";
my @open;
while (<$control>) {
  for (1..$_) { push @open, IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $ARGV[1]) || die "connect: $!" }
}`;

async function withEngine(cleanup: Cleanup): Promise<Figure[]> {
  const engine = engines()[0];
  if (engine === undefined) {
    console.error(`docker-attestation: ${NO_ENGINE}`);
    return [];
  }
  const log = createLog('warn');
  const clock = new SystemClock();
  const exitWatcher = createExitWatcher();
  cleanup.after(() => exitWatcher.close());
  const docker = createDockerAttestor({ socketPath: engine.socketPath, clock, log, asksFor: isAskedFor });
  cleanup.after(() => docker.close());
  const unix = createUnixAttestor({ log, wantSha256: () => false });
  const limits = { owner: new Owners().user(process.getuid!()), turns: new Turns() };
  const options = {
    attestors: [unix, docker],
    whyContained: createWhyContained(),
    exitWatcher,
    clock,
    attestTimeoutMs: 5_000,
    pinByPid: !probeKernel().pinsPeers,
    ...limits,
  };

  const folder = makePlace(cleanup).directory;
  const pipe = await listen(cleanup, path.join(folder, 'pipe.sock'));
  const callers = await startCallers(cleanup, engine, folder);
  await until(() => docker.caching);
  const attest = async (socket: net.Socket, by = options): Promise<number> => {
    const begun = performance.now();
    const peer = openPeer(socket, by);
    const { selectors } = await peer.attest();
    const took = performance.now() - begun;
    if (by === options && !selectors.some(({ value }) => value.startsWith('label:')))
      throw new Error('no docker:label');
    return took;
  };
  const attestOne = async (caller: net.Socket, by = options): Promise<number> => {
    const accepted = once(pipe, 'connection');
    caller.write('1\n');
    return attest(((await accepted) as [net.Socket])[0], by);
  };

  // Beside each what it is made of, in the same minute of the same machine.
  const bare = createEngine(engine.socketPath);
  cleanup.after(() => bare.close());
  const first: number[] = [];
  const engineAlone: number[] = [];
  const cached: number[] = [];
  const unixAlone: number[] = [];
  for (const [at, caller] of callers.entries()) {
    first.push(await attestOne(caller));
    const begun = performance.now();
    await bare.get(`/containers/${nameOf(at)}/json`, new AbortController().signal);
    engineAlone.push(performance.now() - begun);
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const caller of callers) {
      cached.push(await attestOne(caller));
      unixAlone.push(await attestOne(caller, { ...options, attestors: [unix] }));
    }
  }

  // A rename is a change like any other: each container is asked about anew.
  const names = callers.map((_, at) => nameOf(at));
  const asked = docker.inspections;
  for (const name of names) engine.docker('rename', name, `${name}-renamed`);
  const accepted: Promise<number>[] = [];
  const all = Promise.withResolvers<void>();
  pipe.on('connection', (socket) => {
    accepted.push(attest(socket));
    if (accepted.length === STREAMS) all.resolve();
  });
  const begun = performance.now();
  for (const caller of callers) caller.write(`${STREAMS / CONTAINERS}\n`);
  await all.promise;
  await Promise.all(accepted);
  const took = performance.now() - begun;

  return [
    {
      name: 'docker-attestation-first',
      value: percentile(first, 0.5),
      unit: 'ms',
      compared_with: { reach: 3, p99: percentile(first, 0.99), 'the engine alone': percentile(engineAlone, 0.5) },
      how: `p50 of the first connection of each of ${CONTAINERS} ${engine.name} containers, one after the other: unix and docker selectors, and the checks around them`,
    },
    {
      name: 'docker-attestation-cached',
      value: percentile(cached, 0.5),
      unit: 'ms',
      compared_with: { reach: 0.5, p99: percentile(cached, 0.99), 'unix alone': percentile(unixAlone, 0.5) },
      how: `the same for ${ROUNDS} further connections of each`,
    },
    {
      name: 'docker-inspections',
      value: docker.inspections - asked,
      unit: 'inspections',
      compared_with: { reach: CONTAINERS, 'ms until all are attested': Math.round(took) },
      how: `${STREAMS} connections of ${CONTAINERS} containers at once, each attested, after every container was renamed`,
    },
  ];
}

async function startCallers(cleanup: Cleanup, engine: ContainerEngine, folder: string): Promise<net.Socket[]> {
  const socket = path.join(folder, 'control.sock');
  const control = await listen(cleanup, socket);
  const image = engine.image(cleanup, `sidekey-bench-${process.pid}:1`);
  const callers: net.Socket[] = [];
  for (let at = 0; at < CONTAINERS; at += 1) {
    const connected = once(control, 'connection');
    const flags = ['--label', `caller=${at}`, '--network', 'none'];
    const command = ['/usr/bin/perl', '-e', CALLER, socket, path.join(folder, 'pipe.sock')];
    engine.run(image, { name: nameOf(at), flags, folder }, ...command);
    engine.removeLater(`${nameOf(at)}-renamed`);
    callers.push(((await connected) as [net.Socket])[0]);
  }
  return callers;
}

function nameOf(at: number): string {
  return `sidekey-bench-${process.pid}-${at}`;
}

/** What a compose file's entries ask for. */
function isAskedFor(kind: string): boolean {
  return ['docker:label', 'docker:compose_service', 'docker:image_id'].includes(kind);
}

async function listen(cleanup: Cleanup, socket: string): Promise<net.Server> {
  const open = new Set<net.Socket>();
  const server = net.createServer((connection) => open.add(connection.on('error', () => undefined)));
  server.listen({ path: socket, backlog: 4096 });
  await once(server, 'listening');
  cleanup.after(() => {
    for (const connection of open) connection.destroy();
    server.close();
  });
  return server;
}

/** The caller is this process, in a cgroup of its own; the engine takes questions and never answers. */
async function whileHanging(cleanup: Cleanup): Promise<Figure[]> {
  const impossible = whyNoCgroup();
  if (impossible !== undefined) {
    console.error(`docker-attestation: ${impossible}`);
    return [];
  }
  const engine = new StandInEngine(cleanup);
  engine.answer = () => undefined;
  await engine.start();
  const server = await serve(cleanup, { flags: ['--docker-socket', engine.socketPath], logLevel: 'info' });
  const spiffeId = `spiffe://${TRUST_DOMAIN}/web`;
  const entry = { spiffe_id: spiffeId, selectors: ['docker:label:app:web'] };
  const { status } = await server.request('POST', '/v1/entries', entry);
  if (status !== 201) throw new Error(`the entry is refused: ${status}`);
  // From then on it may not use the admin socket.
  makeCgroup(cleanup, 'ab'.repeat(32)).join(process.pid);
  const sample: number[] = [];
  for (let i = 0; i < HANGS; i += 1) {
    const client = new SdsClient(server.socket);
    const begun = sharedNow();
    const stream = client.stream();
    stream.ask(spiffeId);
    const { code, details } = await stream.status;
    sample.push(sharedNow() - begun);
    client.close();
    if (code !== 14 || !details.includes('decision')) throw new Error(`the stream ended otherwise: ${code} ${details}`);
  }
  return [
    {
      name: 'docker-engine-hanging',
      value: percentile(sample, 1),
      unit: 'ms',
      compared_with: { reach: 1_100, p50: percentile(sample, 0.5) },
      how: `the longest of ${HANGS} streams, from connecting until it ended with its reason, beside an engine that takes questions and never answers`,
    },
  ];
}
