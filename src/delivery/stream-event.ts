import type { Peer } from '../attest/index.ts';

/** An event on a stream. */
export interface StreamEvent {
  readonly type: 'stream_opened' | 'stream_closed' | 'held' | 'sent' | 'acked' | 'rejected' | 'removed';
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly stream: number;
  /** The connection of the stream. */
  readonly peer: Peer;
  readonly pid: number;
  readonly uid: number;
  readonly node: string | undefined;
  /** The names that the event is about. */
  readonly names: readonly string[];
  /** For `sent` the version, for `held` the reason, for `rejected` the client's error text. */
  readonly detail: string | undefined;
}
