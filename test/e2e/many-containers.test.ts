/** Two hundred containers of a real engine that start at once: each gets its own identity, and no other one's. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { type ContainerEngine, engines, NO_ENGINE } from '../support/container-engine.ts';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
} from '../support/http2-frames.ts';
import { makePlace, serve, TRUST_DOMAIN } from '../support/serve.ts';

const CONTAINERS = 200;
/** How many the engine is asked to make at a time; they are started all at once. */
const AT_A_TIME = 20;
const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
const RUN = `sidekey-test-many-${process.pid}`;

/**
 * Asks for its identity until it has it, as an Envoy does, on a new connection each time; leaves the answer in a file, and
 * ends when it is told to. Node would be too heavy two hundred times.
 */
const CALLER = `use IO::Socket::UNIX; use IO::Select;
my ($socket, $request, $answer, $end) = @ARGV;
for (my $has = 0; !$has;) {
  my $got = '';
  my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $socket);
  if ($s) {
    syswrite $s, pack('H*', $request);
    my $select = IO::Select->new($s);
    while (!$has && $select->can_read(1)) {
      sysread($s, $got, 65536, length $got) or last;
      $has = index($got, 'PRIVATE KEY') >= 0 && $got;
    }
  }
  if ($has) { open(my $file, '>', "$answer.new"); print $file $got; close $file; rename "$answer.new", $answer }
  else { select undef, undef, undef, 0.2 }
}
until (-e $end) { select undef, undef, undef, 0.5 }`;

function requestFor(name: string): string {
  const message = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames: [name] })).finish();
  return Buffer.concat([
    PREFACE,
    frame(FrameType.SETTINGS, 0, 0),
    frame(FrameType.SETTINGS, 1, 0),
    callHeaders(1, FETCH),
    dataFrames(1, grpcMessage(Buffer.from(message)), END_STREAM),
  ]).toString('hex');
}

const idOf = (at: number) => `spiffe://${TRUST_DOMAIN}/many/${at}`;

async function run(t: TestContext, engine: ContainerEngine): Promise<void> {
  const place = makePlace(t);
  const flags = ['--docker-socket', engine.socketPath, '--socket-mode', '0666'];
  const server = await serve(t, { place, flags, logLevel: 'info' });
  chmodSync(place.directory, 0o755);
  const folder = path.dirname(server.socket);
  const [answers, end] = [path.join(folder, 'answers'), path.join(folder, 'end')];
  mkdirSync(answers);
  const entries = Array.from({ length: CONTAINERS }, (_, at) => ({
    spiffe_id: idOf(at),
    selectors: [`docker:label:test:${RUN}`, `docker:label:number:${at}`],
  }));
  assert.equal((await server.request('POST', '/v1/entries', { entries })).status, 201);

  const image = engine.image(t, `${RUN}:1`);
  const numbers = entries.map((_, at) => at);
  // All share the network of the first: two hundred of their own are too much for Docker 20.10, which may deadlock.
  const networkOf = (at: number) => (at === 0 ? 'none' : `container:${RUN}-0`);
  for (let from = 0; from < CONTAINERS; from += AT_A_TIME) {
    await Promise.all(
      numbers.slice(from, from + AT_A_TIME).map((at) =>
        engine.create(
          image,
          { name: `${RUN}-${at}`, folder },
          {
            Cmd: [
              '/usr/bin/perl',
              '-e',
              CALLER,
              server.socket,
              requestFor(idOf(at)),
              path.join(answers, String(at)),
              end,
            ],
            Labels: { test: RUN, number: String(at) },
          },
          networkOf(at),
        ),
      ),
    );
  }
  try {
    const [first, ...others] = numbers.map((at) => `${RUN}-${at}`);
    await engine.start(first!);
    await Promise.all(others.map((name) => engine.start(name)));
    const answered = () => readdirSync(answers).filter((name) => !name.endsWith('.new'));
    while (answered().length < CONTAINERS) await pause(50);
  } finally {
    // So that the engine does not have to stop each of them.
    writeFileSync(end, '');
  }
  for (const at of numbers) {
    const answer = readFileSync(path.join(answers, String(at)), 'latin1');
    const named = [...new Set(answer.match(/spiffe:\/\/ilinux\.io\/many\/[0-9]+/g))];
    assert.deepEqual(named, [idOf(at)]);
  }
}

const here = engines();
if (here.length === 0) it('two hundred containers of a real engine', { skip: NO_ENGINE });
for (const engine of here) {
  it(`${engine.name}: two hundred containers that start at once get their own identities`, { timeout: 240_000 }, (t) =>
    run(t, engine),
  );
}
