/** One gRPC call between grpc-js and a handler of ours. */

import type * as grpc from '@grpc/grpc-js';
import type { Peer } from '../attest/types.ts';
import type { Log } from '../telemetry/log.ts';
import { type Method, Status, type StatusCode, StatusError, type Stream, type StreamHandler } from './types.ts';

/** A call that is being served; `end` is a no-op once it has ended. */
export interface Call {
  end(status: StatusCode, details: string): void;
}

/** The connection that a call came on, and what its uid may still use. */
export interface Caller {
  readonly peer: Peer;
  /** Takes the call in. @throws StatusError when it is refused; it must not `leave` then */
  enter(call: Call): void;
  /** The call is over and its last byte given to HTTP/2, or lost. */
  leave(call: Call): void;
  /** Counts a request. @throws StatusError when it is one too many */
  request(): void;
}

type StreamMethod = Extract<Method, { kind: 'stream' }>;
type UnaryMethod = Extract<Method, { kind: 'unary' }>;

/**
 * grpc-js emits `cancelled` on a call once and last, however it ended: with a status that was sent, by the client, or
 * with the connection.
 */
export function serveStream(
  method: StreamMethod,
  call: grpc.ServerDuplexStream<Buffer, Buffer>,
  caller: Caller,
  log: Log,
): void {
  let handler: StreamHandler | undefined;
  let over = false;

  const stream: Stream = {
    peer: caller.peer,
    send(message) {
      if (over || call.write(asBuffer(message)) || call.isPaused()) return;
      // Who doesn't read isn't listened to either, or what it asks for would pile up.
      call.pause();
      call.once('drain', () => call.resume());
    },
    end(status, details) {
      if (over) return;
      over = true;
      if (status === Status.OK) call.end();
      else call.emit('error', statusObject(status, details));
      // Later, since it may be the handler itself that ends the stream: it is told when it has returned.
      queueMicrotask(close);
    },
  };

  if (!attempt(() => caller.enter(stream))) return;
  call.once('cancelled', () => {
    caller.leave(stream);
    if (over) return;
    over = true;
    close();
  });
  call.on('data', (bytes: Buffer) => {
    if (over) return;
    attempt(() => {
      caller.request();
      handler?.message(bytes);
    });
  });
  call.on('end', () => {
    if (!over) attempt(() => handler?.halfClose());
  });
  attempt(() => {
    handler = method.open(stream);
  });

  function close(): void {
    attempt(() => handler?.closed());
  }

  function attempt(step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      const { status, message } = statusOf(error, method, log);
      stream.end(status, message);
      return false;
    }
  }
}

export function serveUnary(
  method: UnaryMethod,
  call: grpc.ServerUnaryCall<Buffer, Buffer>,
  callback: grpc.sendUnaryData<Buffer>,
  caller: Caller,
  log: Log,
): void {
  let over = false;
  const unary: Call = {
    end(status, details) {
      if (over) return;
      over = true;
      callback(statusObject(status, details));
    },
  };
  const fail = (error: unknown): void => {
    const { status, message } = statusOf(error, method, log);
    unary.end(status, message);
  };

  try {
    caller.enter(unary);
  } catch (error) {
    fail(error);
    return;
  }
  call.once('cancelled', () => {
    over = true;
    caller.leave(unary);
  });
  const answer = async (): Promise<void> => {
    caller.request();
    const response = await method.call(caller.peer, call.request);
    if (over) return;
    over = true;
    callback(null, asBuffer(response));
  };
  answer().catch(fail);
}

/** What the client may know of an error: a StatusError as it is; of anything else nothing, that is for the log. */
function statusOf(error: unknown, method: Method, log: Log): StatusError {
  if (error instanceof StatusError) return error;
  log.error({ err: error, method: method.path }, 'handler of a call failed');
  return new StatusError(Status.INTERNAL, 'Sidekey failed; its log has the reason');
}

/** grpc-js throws at details that are no well-formed Unicode. */
function statusObject(code: StatusCode, details: string): { code: StatusCode; details: string } {
  return { code, details: details.toWellFormed() };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
