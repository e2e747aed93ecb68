/**
 * What one uid may use of the wire: calls at a time, bytes of unfinished messages, and requests a second
 * by a token bucket.
 */

import type { Counters } from '../telemetry/counters.ts';
import { Status, StatusError } from './types.ts';

export interface QuotaLimits {
  /** Calls that one uid may have open at a time. */
  readonly callsPerUid: number;
  /**
   * HTTP/2 streams of one uid beside its calls: of calls that were refused, while their client does not read that. Beyond
   * them a stream is closed without a status.
   */
  readonly refusedStreamsPerUid: number;
  /** Requests that one uid may send a second; a burst may use up one second's worth. */
  readonly requestsPerSecondPerUid: number;
  /** Bytes that messages of one uid may take that have not come whole. */
  readonly unfinishedBytesPerUid: number;
}

export interface Quota {
  /**
   * Takes a place for an HTTP/2 stream, which has one from its headers to its very end, whatever becomes of its call;
   * false where too many have.
   */
  openStream(uid: number): boolean;
  /** Gives the place back. */
  closeStream(uid: number): void;
  /** Takes a place for a call. @throws StatusError with RESOURCE_EXHAUSTED, naming the limit */
  open(uid: number): void;
  /** Gives the place back. */
  close(uid: number): void;
  /** Counts a request; `now` in milliseconds. @throws StatusError with RESOURCE_EXHAUSTED, naming the limit */
  request(uid: number, now: number): void;
  /** Takes room for a message that comes in parts. @throws StatusError with RESOURCE_EXHAUSTED, naming the limit */
  hold(uid: number, bytes: number): void;
  /** Gives the room back. */
  release(uid: number, bytes: number): void;
}

interface Usage {
  streams: number;
  calls: number;
  heldBytes: number;
  tokens: number;
  filledAt: number;
}

/** With more uids than this, those that have no call open are forgotten. */
const REMEMBERED = 1_000;

export function createQuota(limits: QuotaLimits, counters: Counters): Quota {
  const { callsPerUid, requestsPerSecondPerUid, unfinishedBytesPerUid } = limits;
  const streamsPerUid = callsPerUid + limits.refusedStreamsPerUid;
  const usages = new Map<number, Usage>();

  return {
    openStream(uid) {
      const usage = usageOf(uid);
      if (usage.streams >= streamsPerUid) return false;
      usage.streams += 1;
      return true;
    },
    closeStream(uid) {
      usageOf(uid).streams -= 1;
    },
    open(uid) {
      const usage = usageOf(uid);
      if (usage.calls >= callsPerUid) {
        counters.add('streams_refused_total');
        throw exhausted(`uid ${uid} has ${callsPerUid} streams open, the most it may (maxStreamsPerUid)`);
      }
      usage.calls += 1;
    },
    close(uid) {
      usageOf(uid).calls -= 1;
    },
    request(uid, now) {
      const usage = usageOf(uid);
      // A clock that was set back refills nothing.
      const elapsed = Math.max(now - usage.filledAt, 0);
      usage.tokens = Math.min(requestsPerSecondPerUid, usage.tokens + (elapsed * requestsPerSecondPerUid) / 1_000);
      usage.filledAt = now;
      if (usage.tokens < 1) {
        counters.add('requests_refused_total');
        const most = `${requestsPerSecondPerUid} requests a second, the most it may (maxRequestsPerSecondPerUid)`;
        throw exhausted(`uid ${uid} sends more than ${most}`);
      }
      usage.tokens -= 1;
    },
    hold(uid, bytes) {
      const usage = usageOf(uid);
      if (usage.heldBytes + bytes > unfinishedBytesPerUid) {
        counters.add('messages_refused_total');
        const most = `${unfinishedBytesPerUid} bytes, the most that they may (unfinishedBytesPerUid)`;
        throw exhausted(`unfinished messages of uid ${uid} take ${most}`);
      }
      usage.heldBytes += bytes;
    },
    release(uid, bytes) {
      usageOf(uid).heldBytes -= bytes;
    },
  };

  function usageOf(uid: number): Usage {
    let usage = usages.get(uid);
    if (usage === undefined) {
      if (usages.size >= REMEMBERED) forgetIdle();
      usage = { streams: 0, calls: 0, heldBytes: 0, tokens: requestsPerSecondPerUid, filledAt: 0 };
      usages.set(uid, usage);
    }
    return usage;
  }

  function forgetIdle(): void {
    for (const [uid, { streams, calls }] of usages) if (streams === 0 && calls === 0) usages.delete(uid);
  }
}

function exhausted(message: string): StatusError {
  return new StatusError(Status.RESOURCE_EXHAUSTED, message);
}
