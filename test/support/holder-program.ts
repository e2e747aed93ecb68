/**
 * A process that was given somebody else's connection to the pipe, as its stdin or, with `sent`, by SCM_RIGHTS: waits
 * until the giver has ended or executed another program, or has been stopped, asks for a secret, and writes what came of it to a file:
 * RESULT_FILE GIVER_PID NAME sent|inherited changed|stopped. The file `RESULT_FILE.ready` is there once it waits.
 */

import { once } from 'node:events';
import { readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  type Frame,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
  RawClient,
} from './http2-frames.ts';

const FETCH = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';

export interface HolderResult {
  /** False where the connection was cut before. */
  readonly answered: boolean;
  /** All that came, as Latin-1. */
  readonly data: string;
}

const [file, giver, name, how, when] = process.argv.slice(2) as [string, string, string, string, string];
const socket = how === 'sent' ? await received() : new net.Socket({ fd: 0 });
socket.on('error', () => undefined);

const before = identity();
write('.ready', '');
while (when === 'stopped' ? !isStopped() : identity() === before) await setTimeout(5);
write('', JSON.stringify(await ask()));
process.exit(0);

async function received(): Promise<net.Socket> {
  const [, handle] = await once(process, 'message');
  return handle as net.Socket;
}

function isStopped(): boolean {
  return /\) T /.test(readFileSync(`/proc/${giver}/stat`, 'latin1'));
}

/** Program and start of the giver; empty once it has ended. */
function identity(): string {
  try {
    const stat = readFileSync(`/proc/${giver}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : `${readlinkSync(`/proc/${giver}/exe`)} ${fields[19]}`;
  } catch {
    return '';
  }
}

/** By hand, since the giver has read the server's first words. */
async function ask(): Promise<HolderResult> {
  const client = new RawClient(socket);
  const request = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames: [name] })).finish();
  client.write(PREFACE, frame(FrameType.SETTINGS, 0, 0), frame(FrameType.SETTINGS, 1, 0));
  client.write(callHeaders(1, FETCH), dataFrames(1, grpcMessage(request), END_STREAM));
  const isEnd = ({ stream, flags }: Frame) => stream === 1 && (flags & END_STREAM) !== 0;
  const answered = await client.frame(isEnd).then(
    () => true,
    () => false,
  );
  return { answered, data: client.received.toString('latin1') };
}

function write(suffix: string, text: string): void {
  writeFileSync(`${file}${suffix}.new`, text);
  renameSync(`${file}${suffix}.new`, `${file}${suffix}`);
}
