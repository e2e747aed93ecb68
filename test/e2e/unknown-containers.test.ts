/** A user to whom a cgroup was delegated names containers that there are not, without end, beside a real container. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { whyNotNobody } from '../support/child.ts';
import { engines, NO_ENGINE } from '../support/container-engine.ts';
import { EngineProxy } from '../support/engine-proxy.ts';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
} from '../support/http2-frames.ts';
import { until } from '../support/process-state.ts';
import { ROOT, serve, TRUST_DOMAIN } from '../support/serve.ts';

const NAME = `spiffe://${TRUST_DOMAIN}/web`;
const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
const IMAGE = `sidekey-unknown-${process.pid}:1`;
const CONTAINER = `sidekey-unknown-${process.pid}`;
const USER = 31_337;
const PROCESSES = 200;
const ROUNDS = 5;
/** Of the engine: eight questions at a time are 100 a second, and an answer that is a second late is none. */
const DELAY_MS = 80;

/** Each process goes from one new cgroup to the next, and asks in each. */
const FLOOD = `use IO::Socket::UNIX;
my ($base, $pipe, $hello, $count) = @ARGV;
$hello = pack('H*', $hello);
<STDIN>;
for my $i (1..$count) {
  next if fork();
  my $last;
  for (my $n = 0; ; $n++) {
    my $cgroup = sprintf('%s/%032x%032x', $base, $i, $n);
    mkdir $cgroup or die "mkdir: $!";
    open(my $procs, '>', "$cgroup/cgroup.procs") or die "open: $!";
    print $procs $$;
    close $procs or die "join: $!";
    rmdir $last if defined $last;
    $last = $cgroup;
    my $to = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $pipe) or (select(undef, undef, undef, 0.05), next);
    syswrite $to, $hello;
    # The server's settings, its answer, or the end; in how many pieces is the server's affair.
    for (1..3) {
      my $readable = '';
      vec($readable, fileno($to), 1) = 1;
      select($readable, undef, undef, 0.5) or last;
      sysread($to, my $said, 65536) or last;
    }
    close $to;
  }
}
sleep 1000`;

function hello(): Buffer {
  // A request for one name: field 3 of DiscoveryRequest.
  const request = Buffer.concat([Buffer.of(0x1a, NAME.length), Buffer.from(NAME)]);
  return Buffer.concat([
    PREFACE,
    frame(FrameType.SETTINGS, 0, 0),
    callHeaders(1, FETCH),
    dataFrames(1, grpcMessage(request), END_STREAM),
  ]);
}

const engine = engines()[0];
const skip = (engine === undefined ? NO_ENGINE : undefined) ?? whyNoCgroup() ?? whyNotNobody() ?? false;

it('a container is attested in time beside a user who names containers that there are not', {
  skip,
  timeout: 60_000,
}, async (t) => {
  engine!.image(t, IMAGE);
  const proxy = new EngineProxy(t, engine!.socketPath);
  await proxy.start(t);
  const server = await serve(t, {
    flags: ['--docker-socket', proxy.socketPath, '--socket-mode', '0666'],
    logLevel: 'info',
  });
  chmodSync(server.directory, 0o711);
  const body = { spiffe_id: NAME, selectors: ['docker:label:app:web'] };
  assert.equal((await server.request('POST', '/v1/entries', body)).status, 201);
  const flags = ['--network', 'none', '--label', 'app=web'];
  engine!.run(IMAGE, { name: CONTAINER, folder: server.directory, flags }, '/bin/sleep', '1000');
  const id = engine!.inspect(CONTAINER, '{{.Id}}');
  proxy.delayMs = DELAY_MS;

  const { folder, join } = makeCgroup(t, 'delegated');
  chownSync(folder, USER, USER);
  chownSync(path.join(folder, 'cgroup.procs'), USER, USER);
  const words = ['-e', FLOOD, folder, server.socket, hello().toString('hex'), String(PROCESSES)];
  const flood = spawn('perl', words, {
    uid: USER,
    gid: USER,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  });
  try {
    join(flood.pid!);
    flood.stdin.end('\n');
    await until(() => proxy.asked.length > 50);
    for (let round = 0; round < ROUNDS; round += 1) {
      // A change: so the container is asked about anew.
      const name = `${CONTAINER}-${round}`;
      engine!.removeLater(name);
      engine!.docker('rename', id, name);
      const before = proxy.asked.length;
      const fetch = [path.join(ROOT, 'bin/sidekey'), 'fetch', '--socket', server.socket, '--spiffe-id', NAME];
      const { code, stderr } = await execIn(name, fetch);
      assert.equal(code, 0, `in round ${round}: ${stderr}`);
      await until(() => proxy.asked.length > before);
    }
    // Otherwise the user did not keep the engine busy.
    await until(() => proxy.asked.filter((one) => !one.includes(id)).length > 100);
  } finally {
    process.kill(-flood.pid!, 'SIGKILL');
    await once(flood, 'exit');
    await until(() => spawnSync('pgrep', ['-g', String(flood.pid)]).status !== 0);
  }
});

/** Not synchronously: the engine's answers come by way of this process. */
async function execIn(container: string, words: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const args = ['-H', `unix://${engine!.socketPath}`, 'exec', container, ...words];
  const child = spawn('docker', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  return { code: code as number | null, stderr };
}
