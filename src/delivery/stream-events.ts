/** Publishes one stream's events to listeners and the log. */

import type { Clock } from '../base/index.ts';
import { type Log, ownedLog } from '../telemetry/index.ts';
import type { Stream } from '../wire/index.ts';
import type { Ledger } from './ledger.ts';
import type { Node } from './node.ts';
import type { StreamEvent } from './stream-event.ts';

export interface StreamEventsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly ledger: Ledger;
}

export class StreamEvents {
  readonly #stream: Stream;
  readonly #number: number;
  readonly #parts: StreamEventsParts;
  /** Set by the first request. */
  node: Node | undefined;

  /** @param number counts the streams since the start */
  constructor(stream: Stream, number: number, parts: StreamEventsParts) {
    this.#stream = stream;
    this.#number = number;
    this.#parts = parts;
  }

  /** A log whose lines name the stream and its caller. Built on each use, since most streams never log. */
  get log(): Log {
    const { id, credentials, owner } = this.#stream.peer;
    const { pid, uid } = credentials;
    return ownedLog(this.#parts.log, owner.name, { stream: this.#number, peer: id, pid, uid });
  }

  /** False if nobody would get events or debug lines. */
  get isHeard(): boolean {
    return this.#parts.ledger.heard || this.#parts.log.isLevelEnabled('debug');
  }

  debug(fields: () => object, message: string): void {
    if (this.#parts.log.isLevelEnabled('debug')) this.log.debug(fields(), message);
  }

  tell(type: StreamEvent['type'], names: () => readonly string[], detail?: string): void {
    this.#parts.ledger.tell(() => {
      const { peer } = this.#stream;
      const { pid, uid } = peer.credentials;
      const at = this.#parts.clock.now();
      return { type, at, stream: this.#number, peer, pid, uid, node: this.node?.id, names: names(), detail };
    });
  }
}
