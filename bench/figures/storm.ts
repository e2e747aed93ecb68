/** What an honest stream feels of 5,000 processes that connect and exit beside it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { LatencyOptions } from '../load/client-program.ts';
import { Program, sharedNow } from '../load/program.ts';

const CONNECTS = 5_000;
const TIMES = 500;
const NAMES = [`spiffe://${TRUST_DOMAIN}/a`, `spiffe://${TRUST_DOMAIN}/b`] as const;

/** Each connect is that of a process of its own, which Node could not start so many of; perl is where Debian is. */
const STORM = `use IO::Socket::UNIX;
for (1..${CONNECTS}) {
  my $pid = fork // die "fork: $!";
  if ($pid == 0) { IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $ARGV[0]) or die "connect: $!"; exit 0 }
  waitpid $pid, 0;
  die "a child failed" if $?;
}`;

export async function storm(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entries = NAMES.map((name) => ({ spiffe_id: name, selectors }));
  const { status } = await server.request('POST', '/v1/entries', { entries });
  if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  const client = Program.start(cleanup, 'client-program.ts');
  const latency = (times: number) => {
    const options: LatencyOptions = { socket: server.socket, names: NAMES, times, pause: 4 };
    return client.tell<number[]>('latency', options);
  };
  // Warms up both sides.
  await latency(TIMES);
  const quiet = await latency(TIMES);

  const begun = sharedNow();
  const raging = spawn('perl', ['-e', STORM, server.socket], { stdio: ['ignore', 'ignore', 'inherit'] });
  const over = once(raging, 'close') as Promise<[number | null]>;
  let ended = false;
  void over.then(() => {
    ended = true;
  });
  const stormy: number[] = [];
  while (!ended) stormy.push(...(await latency(100)));
  const [code] = await over;
  if (code !== 0) throw new Error('the storm failed');
  const took = sharedNow() - begun;
  const quietP99 = percentile(quiet, 0.99);
  const p99 = percentile(stormy, 0.99);
  return [
    {
      name: 'latency-in-storm-p99',
      value: p99,
      unit: 'ms',
      compared_with: {
        quiet: quietP99,
        'times quiet': round(p99 / quietP99),
        reach: '3 times quiet',
        p50: percentile(stormy, 0.5),
        'quiet p50': percentile(quiet, 0.5),
      },
      how: `${stormy.length} requests on one stream, each for another name than the one before, 4 ms after its response, while ${CONNECTS} processes connect and exit one after the other (${Math.round(took)} ms); beside ${quiet.length} without them`,
    },
  ];
}
