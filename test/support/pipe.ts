/** A pipe on a real socket in a directory of its own. */

import { once } from 'node:events';
import fs from 'node:fs';
import type net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { nobodyContained, type WhyContained } from '../../src/attest/contained.ts';
import { createExitWatcher } from '../../src/attest/exit-watcher.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { createPipe, type Pipe } from '../../src/attest/pipe.ts';
import type { AskedSelectors, Attestor, Peer } from '../../src/attest/types.ts';
import { type Clock, SystemClock } from '../../src/base/clock.ts';
import { Quota, type QuotaLimits } from '../../src/limits/quota.ts';
import type { Reader } from '../../src/limits/readers.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createLog, type Log } from '../../src/telemetry/log.ts';
import { QUOTA_LIMITS } from './quota-limits.ts';
import { tempDir } from './temp-dir.ts';

export interface Connection {
  readonly socket: net.Socket;
  readonly peer: Peer;
}

export interface TestPipe {
  readonly path: string;
  readonly pipe: Pipe;
  /** The next connection that nobody has asked for yet. */
  next(): Promise<Connection>;
}

export interface TestPipeOptions {
  readonly attestors?: readonly Attestor[];
  readonly asked?: AskedSelectors;
  readonly limits?: Partial<QuotaLimits>;
  readonly attestTimeoutMs?: number;
  readonly whyContained?: WhyContained;
  readonly whySeenContained?: WhyContained;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly counters?: Counters;
  /** As on a kernel before 6.5, unless it is one. */
  readonly pinByPid?: boolean;
  /** Told before {@link TestPipe.next} is. */
  readonly onConnection?: (socket: net.Socket, peer: Peer, reading: Reader) => void;
}

/** Says nothing but what the kernel says. */
export const credentialsAttestor: Attestor = {
  name: 'unix',
  attest: async ({ uid, gid }) => [
    { type: 'unix', value: `uid:${uid}` },
    { type: 'unix', value: `gid:${gid}` },
  ],
};

/** Anybody may connect; everything is closed after the test. */
export async function startPipe(t: TestContext, options: TestPipeOptions = {}): Promise<TestPipe> {
  const directory = tempDir(t);
  fs.chmodSync(directory, 0o755);
  const socketPath = path.join(directory, 'pipe.sock');
  const exitWatcher = createExitWatcher();
  const arrived: Connection[] = [];
  const waiting: ((connection: Connection) => void)[] = [];
  const open = new Set<net.Socket>();

  const pipe = createPipe({
    attestors: options.attestors ?? [credentialsAttestor],
    ...(options.asked === undefined ? {} : { asked: options.asked }),
    whyContained: options.whyContained ?? nobodyContained,
    whySeenContained: options.whySeenContained,
    exitWatcher,
    clock: options.clock ?? new SystemClock(),
    log: options.log ?? createLog('silent'),
    quota: new Quota({ ...QUOTA_LIMITS, ...options.limits }, options.counters ?? new Counters()),
    ...(options.attestTimeoutMs === undefined ? {} : { attestTimeoutMs: options.attestTimeoutMs }),
    pinByPid: options.pinByPid ?? !probeKernel().pinsPeers,
    onConnection(socket, peer, reading) {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      options.onConnection?.(socket, peer, reading);
      const take = waiting.shift();
      if (take === undefined) arrived.push({ socket, peer });
      else take({ socket, peer });
    },
  });
  pipe.server.listen({ path: socketPath, backlog: 4096, writableAll: true, readableAll: true });
  await once(pipe.server, 'listening');
  t.after(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => pipe.server.close(resolve));
    await exitWatcher.close();
  });

  return {
    path: socketPath,
    pipe,
    next: () => {
      const connection = arrived.shift();
      if (connection !== undefined) return Promise.resolve(connection);
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}

/** The kernel's word for "gone": resolves at once where it is so already. */
export function whenGone(peer: Peer): Promise<void> {
  return new Promise((resolve) => peer.onGone(resolve));
}

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}
