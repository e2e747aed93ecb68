/** How agents prove what they are, one file each. */

import type { Attested } from '../../registry/index.ts';

/** What an attestation finds out, before an SVID is made. */
export type Proven = Omit<Attested, 'serial' | 'notAfter'>;

/** An attestation that is refused; the message is for the agent. */
export class AttestationError extends Error {}

/** The proof of one agent, as a conversation: each call is a message of the agent, its result a challenge or the end. */
export interface Conversation {
  /** @throws AttestationError */
  answer(message: Uint8Array): Proven | { readonly challenge: Uint8Array };
}
