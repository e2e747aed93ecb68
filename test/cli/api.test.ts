/** `sidekey api …` and `sidekey healthcheck -socketPath` beside what the real `spire-agent` did: agent/record.ts. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { parseGoDuration } from '../../src/base/index.ts';
import { formatGoDuration } from '../../src/cli/go-words.ts';
import { type Answers, CASES } from './agent/cases.ts';
import { type Outcome, runCase } from './agent/run-case.ts';
import { ROOT, sidekey } from './support.ts';

interface Recorded {
  readonly answers: Readonly<Record<string, Answers>>;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

const { answers, outcomes } = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'agent/recorded.json'), 'utf8'),
) as Recorded;

/** The usage has another default for the socket, and says so. */
const withoutSocket = ({ stderr, ...rest }: Outcome) => ({
  ...rest,
  stderr: stderr.replace(/(?<= {2}-socketPath string\n).*/g, 'THE SOCKET'),
});

describe('as spire-agent does', { timeout: 240_000, concurrency: 4 }, () => {
  const command = [path.join(ROOT, 'bin/sidekey')];
  for (const one of CASES) {
    it(one.name, async () => {
      const outcome = await runCase(one, answers[one.answers]!, command);
      assert.deepEqual(withoutSocket(outcome), withoutSocket(outcomes[one.name]!));
    });
  }
});

describe('beside spire-agent', { timeout: 60_000 }, () => {
  it('SPIFFE_ENDPOINT_SOCKET names the pipe, as a URL of a Unix socket', async () => {
    const ask = (socket: string) => sidekey(['api', 'fetch'], { env: { SPIFFE_ENDPOINT_SOCKET: socket } });
    for (const socket of ['unix:///nowhere/s', 'unix:/nowhere/s', '/nowhere/s']) {
      const { status, stderr } = await ask(socket);
      assert.equal(status, 1);
      assert.match(stderr, /dial unix \/nowhere\/s: connect: no such file or directory/);
    }
    const { status, stderr } = await ask('tcp://127.0.0.1:8081');
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^SPIFFE_ENDPOINT_SOCKET: "tcp:\/\/127\.0\.0\.1:8081" is a TCP address, not a Unix socket; give the path/,
    );
  });

  it('without a command it lists them', async () => {
    for (const [args, expected] of [
      [['api'], 1],
      [['api', 'fetsch'], 1],
      [['api', '-h'], 0],
      [['api', '--help'], 0],
    ] as const) {
      const { status, stdout, stderr } = await sidekey(args);
      assert.equal(status, expected, args.join(' '));
      assert.match(expected === 0 ? stdout : stderr, /^Usage: sidekey api COMMAND .*\n {2}fetch x509\n/);
    }
    const { status, stderr } = await sidekey(['api', 'fetch', 'jwt', '-h']);
    assert.equal(status, 0);
    assert.match(stderr, /^Usage of fetch jwt:\n {2}-audience value\n/);
  });
});

test('durations are those of Go', () => {
  for (const [nanoseconds, text] of [
    [0, '0s'],
    [1, '1ns'],
    [1_100, '1.1µs'],
    [2_200_000, '2.2ms'],
    [3_300_000_000, '3.3s'],
    [62_000_000_001, '1m2.000000001s'],
    [3_600_000_000_000, '1h0m0s'],
  ] as const) {
    assert.equal(formatGoDuration(nanoseconds), text);
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e12 }), (microseconds) => {
      assert.equal(Math.round(parseGoDuration(formatGoDuration(microseconds * 1e3))! * 1e3), microseconds);
    }),
  );
});
