/** What happens on the streams, as it happens. */
export interface StreamEvent {
  readonly type: 'stream_opened' | 'stream_closed' | 'held' | 'sent' | 'acked' | 'rejected' | 'removed';
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly stream: number;
  readonly pid: number;
  readonly uid: number;
  readonly node: string | undefined;
  /** The names that it is about. */
  readonly names: readonly string[];
  /** Of `sent`: the version; of `held`: the reason; of `rejected`: the client's text. */
  readonly detail: string | undefined;
}
