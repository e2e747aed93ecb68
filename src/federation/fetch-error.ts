/** Why a bundle could not be fetched. */

/** For metrics, and for what the poller does next. */
export const FETCH_FAILURES = [
  /** The URL, or a target of a redirect, leads to an address that the rules refuse. */
  'address',
  /** The name has no address, or nothing answers there. */
  'connection',
  /** Total time. */
  'timeout',
  /** The endpoint's certificate is not under the authorities that are known. */
  'certificate',
  /** The endpoint's certificate, or one above it, has ended. */
  'expired',
  /** The certificate is good, but of another host or SPIFFE ID. */
  'identity',
  /** The bundle by which an https_spiffe endpoint is known is missing or empty. */
  'bootstrap',
  'status',
  'redirect',
  /** Too large, compressed, not JSON, or without keys. */
  'document',
  /** The sequence number is lower than that of the present bundle, or missing. */
  'sequence',
  /** It was fetched, but not stored. */
  'store',
] as const;
export type FetchFailure = (typeof FETCH_FAILURES)[number];

/** The message never repeats a byte of the answer's body. */
export class FetchError extends Error {
  readonly reason: FetchFailure;
  /** What to do about it, as an addition to the message. */
  readonly fix: string | undefined;

  constructor(reason: FetchFailure, message: string, fix?: string) {
    super(message);
    this.name = 'FetchError';
    this.reason = reason;
    this.fix = fix;
  }
}
