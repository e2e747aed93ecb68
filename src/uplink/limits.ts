/** What an agent takes from its server at most, and how long it waits. Sizes in bytes, times in milliseconds. */

export const MAX_MESSAGE_BYTES: number = 4 * 1024 * 1024;
export const MAX_ENTRIES = 200_000;
/** Of one entry, as JSON; and of all entries of one change. */
export const MAX_ENTRY_BYTES: number = 256 * 1024;
export const MAX_CHANGE_BYTES: number = 256 * 1024 * 1024;
/** Bundles of other trust domains. */
export const MAX_BUNDLES = 1_000;
/** Roots, and JWT keys, of one bundle. */
export const MAX_AUTHORITIES = 1_000;
export const MAX_ALIASES = 10_000;
/** Serial numbers of revoked SVIDs. */
export const MAX_REVOCATIONS = 1_000_000;
/** Certificates of one chain. */
export const MAX_CHAIN = 8;

/** TCP and TLS with a server, while others can be tried; and if it is the only one. */
export const CONNECT_MS = 2_000;
export const CONNECT_ONE_MS = 5_000;
/** From a connection to the first message. */
export const GREETING_MS = 10_000;
/** From there to the whole state. */
export const FIRST_STATE_MS = 60_000;
/** An attestation, and a renewal. */
export const ATTEST_MS = 20_000;
/** A short request. */
export const CALL_MS = 10_000;
/** A poll of the entries: a Sidekey server holds its answer for up to 25 s. */
export const SYNC_MS = 60_000;
/** Requests for SVIDs and tokens, with the wait for a connection. */
export const SVID_MS = 30_000;

/** A connection without an answer to a ping for this long is dead. */
export const PING_EVERY_MS = 8_000;
export const PING_ANSWER_MS = 8_000;

/** Between rounds over all servers. */
export const RETRY_FIRST_MS = 200;
export const RETRY_LIMIT_MS = 10_000;
/** Between tries of a renewal. */
export const RENEW_FIRST_MS = 1_000;
export const RENEW_LIMIT_MS = 60_000;
