/** The attestation of a unix caller: from the connection being accepted to all its selectors. */

import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { createWhyContained } from '../../src/attest/contained.ts';
import { createExitWatcher } from '../../src/attest/exit-watcher.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { openPeer } from '../../src/attest/peer.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { Owners } from '../../src/limits/owner.ts';
import { Turns } from '../../src/limits/turns.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makePlace } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { Program } from '../load/program.ts';

const TIMES = 1_000;

export async function attestation(cleanup: Cleanup): Promise<Figure[]> {
  const log = createLog('warn');
  const exitWatcher = createExitWatcher();
  cleanup.after(() => exitWatcher.close());
  const attestors = [createUnixAttestor({ log, wantSha256: () => true })];
  const owner = new Owners().user(process.getuid!());
  const options = {
    attestors,
    whyContained: createWhyContained(),
    exitWatcher,
    clock: new SystemClock(),
    attestTimeoutMs: 5_000,
    owner,
    turns: new Turns(),
    pinByPid: !probeKernel().pinsPeers,
  };
  const socket = path.join(makePlace(cleanup).directory, 'bench.sock');
  const server = net.createServer().listen(socket);
  await once(server, 'listening');
  cleanup.after(() => server.close());
  const client = Program.start(cleanup, 'client-program.ts');

  const sample: number[] = [];
  for (let i = 0; i <= TIMES; i += 1) {
    const accepted = once(server, 'connection');
    void client.tell('connect', { socket });
    const [connection] = (await accepted) as [net.Socket];
    const begun = performance.now();
    const peer = openPeer(connection, options);
    const { selectors } = await peer.attest();
    // The first one reads the whole executable.
    if (i > 0) sample.push(performance.now() - begun);
    for (const kind of ['path:', 'sha256:']) {
      if (!selectors.some(({ value }) => value.startsWith(kind))) throw new Error(`no unix:${kind}`);
    }
    peer.close();
    await once(connection, 'close');
  }
  return [
    {
      name: 'attestation',
      value: percentile(sample, 0.5),
      unit: 'ms',
      compared_with: { reach: 0.5, p99: percentile(sample, 0.99) },
      how: `p50 of ${TIMES} connections of another process, one after the other: credentials, pidfd, all unix selectors with path and sha256 (hashed before), and the checks around them`,
    },
  ];
}
