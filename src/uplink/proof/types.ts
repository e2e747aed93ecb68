/** How an agent proves to its server which host it is, one file each. */

/** The proof of one attestation. */
export interface Proof {
  /** SPIRE's name of the node attestor. */
  readonly type: 'join_token' | 'x509pop';
  /** The first message. */
  readonly payload: Uint8Array;
  /** Answers a challenge of the server. @throws Error */
  respond(challenge: Uint8Array): Uint8Array;
}
