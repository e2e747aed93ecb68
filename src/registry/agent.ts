/** Agents of other hosts: their records, and the tokens by which they join. */

import { hash, randomBytes } from 'node:crypto';
import type { Selector, SpiffeId, TrustDomain } from '../spiffe/index.ts';

/** How an agent proved what it is. */
export const ATTESTATION_TYPES = ['join_token', 'x509pop'] as const;
export type AttestationType = (typeof ATTESTATION_TYPES)[number];

/** An agent that has attested itself. Immutable; a change makes a new one. Times in milliseconds since the epoch. */
export interface Agent {
  readonly id: SpiffeId;
  readonly attestationType: AttestationType;
  /** What its attestation found out about its host, by which entries are node aliases of it. */
  readonly selectors: readonly Selector[];
  /** A further SPIFFE ID that entries may name as their parent, given with its token; empty: none. */
  readonly alias: SpiffeId | '';
  /** Serial number of its SVID, lower-case hex, and the end of that. */
  readonly serial: string;
  readonly notAfter: number;
  /** Serial number and end of the SVID that it renewed, until it uses that; empty and 0: none. */
  readonly newSerial: string;
  readonly newNotAfter: number;
  /** It may attest itself again: with a key, not with a token, which is used up. */
  readonly canReattest: boolean;
  readonly banned: boolean;
  /** The version that it reported; empty: none. */
  readonly version: string;
  /** When it attested itself first. */
  readonly createdAt: number;
}

/** A token that lets one agent join, once. */
export interface JoinToken {
  /** {@link joinTokenHash} of its text, which is not stored. */
  readonly hash: string;
  /** {@link Agent.alias} of the agent that joins with it. */
  readonly alias: SpiffeId | '';
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Number of characters of its token's hash in the ID of an agent. */
const ID_LENGTH = 32;

/** A new token's text: 256 random bits, in hex. */
export function newJoinToken(): string {
  return randomBytes(32).toString('hex');
}

/** SHA-256 of the text, in hex. */
export function joinTokenHash(text: string): string {
  return hash('sha256', text);
}

/**
 * The ID of the agent that joins with a token. SPIRE puts the token itself there, which everyone who may read entries
 * would then know before it is used.
 */
export function joinedAgentId(trustDomain: TrustDomain, tokenHash: string): SpiffeId {
  return `spiffe://${trustDomain}/spire/agent/join_token/${tokenHash.slice(0, ID_LENGTH)}` as SpiffeId;
}
