/** From the REST call that makes an entry to a real go-spiffe, whose call was held, having the identity. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { CLIENTS, prepared } from '../../test/workload-api/clients/clients.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

/** After each one go-spiffe waits for a second, since its identity is taken away. */
const TIMES = Number(process.env.BENCH_ENTRIES || 50);
/** Not measured: of the first, the server's machine code is not made yet. */
const FIRST = 50;
const ENTRY = {
  spiffe_id: `spiffe://${TRUST_DOMAIN}/bench`,
  selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
};

export async function entryToGoSpiffe(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info', flags: ['--workload-api-hold'] });
  const goSpiffe = CLIENTS.find(({ name }) => name === 'go-spiffe')!;
  const found = await prepared(goSpiffe, server.socket);
  if ('skip' in found) {
    console.error(`entry-to-go-spiffe is left out: ${found.skip}`);
    return [];
  }
  const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: goSpiffe.endpoint(server.socket) };
  const child = spawn(found.command[0]!, found.command.slice(1), { env, stdio: ['ignore', 'pipe', 'inherit'] });
  cleanup.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const held = () => server.log.filter(({ msg }) => msg === 'caller waits for an identity').length;
  const sample: number[] = [];
  for (let made = 0; made < FIRST + TIMES; made += 1) {
    while (held() <= made) await nextTurn();
    const begun = performance.now();
    const { status, body } = await server.request('POST', '/v1/entries', ENTRY);
    if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error('go-spiffe has ended');
      if ((JSON.parse(value) as { ids?: readonly string[] }).ids !== undefined) break;
    }
    if (made >= FIRST) sample.push(performance.now() - begun);
    await server.request('DELETE', `/v1/entries/${body.id}`);
  }
  const how = `${TIMES} times: an entry made, while FetchX509SVID of go-spiffe 2.9.0 is held (--workload-api-hold), until its program prints the update; then the entry is deleted; after ${FIRST} of these that are not measured`;
  return [
    { name: 'entry-to-go-spiffe-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: { reach: 8 }, how },
    { name: 'entry-to-go-spiffe-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: {}, how },
  ];
}
