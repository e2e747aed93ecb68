/** One connection on the wire: its live calls, what its uid may use, and its end. */

import type net from 'node:net';
import type { Peer } from '../attest/types.ts';
import type { Clock } from '../base/clock.ts';
import type { Call, Caller } from './calls.ts';
import type { Quota } from './quota.ts';
import { Status, StatusError } from './types.ts';

/** How long whoever holds the socket of an ended process may take to read the last status, in milliseconds. */
const CUT_MS = 500;

export class Connection implements Caller {
  readonly peer: Peer;
  readonly #socket: net.Socket;
  readonly #quota: Quota;
  readonly #clock: Clock;
  readonly #calls = new Set<Call>();
  /** Why no call is taken any more. */
  #ended: string | undefined;

  constructor(socket: net.Socket, peer: Peer, quota: Quota, clock: Clock) {
    this.peer = peer;
    this.#socket = socket;
    this.#quota = quota;
    this.#clock = clock;
    peer.onGone(() => this.#cut());
  }

  enter(call: Call): void {
    if (this.#ended !== undefined) throw new StatusError(Status.UNAVAILABLE, this.#ended);
    this.#quota.open(this.peer.credentials.uid);
    this.#calls.add(call);
  }

  leave(call: Call): void {
    this.#calls.delete(call);
    this.#quota.close(this.peer.credentials.uid);
    if (this.peer.gone && this.#calls.size === 0) this.#closeSoon();
  }

  request(): void {
    this.#quota.request(this.peer.credentials.uid, this.#clock.now());
  }

  /** Ends all calls, and those that still come, with UNAVAILABLE. */
  endCalls(reason: string): void {
    this.#ended = reason;
    for (const call of this.#calls) call.end(Status.UNAVAILABLE, reason);
  }

  /** The process has ended or changed, but somebody may hold its socket: he is told, and cut off. */
  #cut(): void {
    if (this.#socket.destroyed) return;
    this.endCalls('the process that connected has ended or changed');
    if (this.#calls.size === 0) this.#closeSoon();
    else this.#clock.after(CUT_MS, () => this.peer.close());
  }

  /** HTTP/2 writes at the end of a turn of the event loop what was given to it in the turn. */
  #closeSoon(): void {
    setImmediate(() => setImmediate(() => this.peer.close()));
  }
}
