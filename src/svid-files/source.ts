/** The Workload API as this room uses it; the command line has the client. */

import type { JWTBundlesResponse, JWTSVIDResponse, X509SVIDResponse } from '../gen/workload.ts';

export interface StreamListener<T> {
  message(message: T): void;
  /** The stream has ended; called once, and not after it was cancelled. */
  end(error: Error): void;
}

/** Ends the stream. */
export type Cancel = () => void;

/** Every promise rejects, and every stream ends, with an Error that has the server's reason. */
export interface SvidSource {
  watchX509Svids(listener: StreamListener<X509SVIDResponse>): Cancel;
  watchJwtBundles(listener: StreamListener<JWTBundlesResponse>): Cancel;
  /** @param spiffeId empty: a token for each identity */
  jwtSvids(audience: readonly string[], spiffeId: string): Promise<JWTSVIDResponse>;
}
