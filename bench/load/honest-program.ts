/** An honest caller beside a hostile one: fetches its SVID again and again, on a new connection each time. */

import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
  readFrames,
} from '../../test/support/http2-frames.ts';
import { obey, sharedNow } from './program.ts';
import { requestFor } from './requests.ts';

const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
const LIMIT_MS = 10_000;

export interface FetchesOptions {
  readonly socket: string;
  readonly name: string;
  readonly seconds: number;
  /** Between two fetches, in milliseconds. */
  readonly pause: number;
}

export interface Fetches {
  /** How long each took, in milliseconds. */
  readonly took: number[];
  /** Why others failed. */
  readonly failures: string[];
}

/** Becomes another user first, so that the server counts it for that one. */
function become({ uid }: { uid: number }): void {
  process.setgroups!([]);
  process.setgid!(uid);
  process.setuid!(uid);
}

async function fetches({ socket, name, seconds, pause: between }: FetchesOptions): Promise<Fetches> {
  const request = requestFor([name], 'tiny');
  const end = sharedNow() + seconds * 1_000;
  const [took, failures]: [number[], string[]] = [[], []];
  while (sharedNow() < end) {
    const begun = sharedNow();
    try {
      await fetchOnce(socket, request, name);
      took.push(sharedNow() - begun);
    } catch (error) {
      failures.push(`${(error as Error).message} at ${Math.round(begun - end + seconds * 1_000)} ms`);
    }
    await pause(between);
  }
  return { took, failures };
}

function fetchOnce(path: string, request: Buffer, name: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect(path);
  let received = Buffer.alloc(0);
  socket.on('error', reject).on('close', () => reject(new Error('the connection was closed')));
  socket.setTimeout(LIMIT_MS, () => reject(new Error(`no answer within ${LIMIT_MS} ms`)));
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    const ended = readFrames(received).some(
      ({ type, flags, stream }) => type === FrameType.HEADERS && stream === 1 && (flags & END_STREAM) !== 0,
    );
    if (!ended) return;
    if (received.includes(name)) resolve();
    else reject(new Error(`an answer without ${name}: ${received.toString('latin1').replaceAll(/[^ -~]+/g, ' ')}`));
  });
  socket.write(Buffer.concat([PREFACE, frame(FrameType.SETTINGS, 0, 0), frame(FrameType.SETTINGS, 1, 0)]));
  socket.write(Buffer.concat([callHeaders(1, FETCH), dataFrames(1, grpcMessage(request), END_STREAM)]));
  return promise.finally(() => socket.destroy());
}

obey({ become, fetches });
