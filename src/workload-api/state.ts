/** The state that a message of the Workload API has, and its view in the ledger. */

import type { X509Svid } from '../ca/index.ts';
import { type SecretReport, STALE_MS, type Trust } from '../delivery/index.ts';
import type { Held } from '../identity/index.ts';

/** A message: the whole state of one caller. */
export interface State {
  readonly bytes: Uint8Array;
  /** Equal for equal bytes. */
  readonly version: string;
  readonly hasKeys: boolean;
  readonly items: readonly Item[];
}

/** An SVID or a bundle in a message. */
export interface Item {
  /** The SPIFFE ID, or that of the trust domain. */
  readonly name: string;
  /** Undefined for a bundle. */
  readonly svid: X509Svid | undefined;
  /** Undefined for an SVID. */
  readonly trust: Trust | undefined;
}

/** When the message was sent, and the last one that the socket has taken. Times in milliseconds since the epoch. */
interface Sent {
  readonly version: string | undefined;
  readonly sentAt: number;
  readonly taken: string | undefined;
  readonly takenAt: number;
}

export function reportItem(
  { name, svid, trust }: Item,
  { version, sentAt, taken, takenAt }: Sent,
  now: number,
): SecretReport {
  const isTaken = taken === version;
  return {
    name,
    state: isTaken ? 'in_sync' : now - sentAt >= STALE_MS ? 'stale' : 'sent',
    held: undefined,
    version,
    sentAt,
    acked: taken,
    ackedAt: taken === undefined ? undefined : takenAt,
    rejection: undefined,
    spiffeId: svid?.spiffeId,
    serial: svid?.serial,
    authorityId: svid?.authorityId,
    notBefore: svid?.notBefore,
    notAfter: svid?.notAfter,
    trust,
    ackedTrust: isTaken ? trust : undefined,
  };
}

/** @param held undefined while the state is looked up */
export function reportHeld(
  name: string,
  held: Held | undefined,
  since: number,
  decision: string | undefined,
): SecretReport {
  const { reason, detail } = held ?? { reason: 'pending', detail: 'its identity is being looked up or issued' };
  return {
    name,
    state: 'held',
    held: { reason, detail, since, decision } as NonNullable<SecretReport['held']>,
    version: undefined,
    sentAt: undefined,
    acked: undefined,
    ackedAt: undefined,
    rejection: undefined,
    spiffeId: undefined,
    serial: undefined,
    authorityId: undefined,
    notBefore: undefined,
    notAfter: undefined,
    trust: undefined,
    ackedTrust: undefined,
  };
}
