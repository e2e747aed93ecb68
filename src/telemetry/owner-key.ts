/** Who answers for log lines that a caller on the pipe causes. */

/** The owner of a caller's lines, for {@link ownedLog} and for people: `uid 1000`. */
export function ownerKey(peer: { readonly credentials: { readonly uid: number } }): string {
  return `uid ${peer.credentials.uid}`;
}
