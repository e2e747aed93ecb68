/** What is known of the published bundle, for reports. */

import { Tally } from '../../telemetry/index.ts';

/**
 * Results of connections and requests to the bundle endpoint: `ok`: got the document; `refused`: another path or method;
 * `tls`: the handshake failed, as that of a client that does not trust the certificate; `crowded`: closed for a newer one
 * at the maximum of connections.
 */
const REQUEST_RESULTS = ['ok', 'refused', 'tls', 'crowded'] as const;

/** What is counted of the published bundle. */
export class PublishingCounts {
  readonly requests = new Tally(REQUEST_RESULTS);
  /** Writes of the published file. */
  readonly writes = new Tally(['ok', 'failed'] as const);
}

/** Times in milliseconds since the epoch. */
export interface EndpointState {
  readonly address: string;
  readonly port: number;
  readonly profile: 'https_spiffe' | 'https_web';
  /** Of its certificate, with `https_spiffe`. */
  readonly spiffeId: string | undefined;
  readonly certificate: {
    /** Undefined with `https_spiffe`. */
    readonly files: { readonly cert: string; readonly key: string } | undefined;
    /** When the one in use ends; undefined: there is none yet. */
    readonly notAfter: number | undefined;
    /** Why it is not a new one; undefined: nothing is wrong. */
    readonly problem: string | undefined;
  };
}

export interface PublishedFileState {
  readonly file: string;
  /** The sequence number of the document in it, as far as this process wrote it. */
  readonly sequence: number | undefined;
  /** Why it does not have the present document; undefined: it has. */
  readonly problem: string | undefined;
  /** Other users that can change it, for display. */
  readonly openTo: readonly string[];
}
