/** How the state of a server reaches the mirror: pushed by a Sidekey server, or asked for by polls of a SPIRE server. */

import type { Clock } from '../base/index.ts';
import type { Report } from '../gen/sidekey/agent.ts';
import type { TrustBundle, TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { EntryReader } from './entries.ts';
import type { Mirror, UplinkOptions } from './types.ts';

export interface FeedParts extends Pick<UplinkOptions, 'answer' | 'syncInterval'> {
  readonly trustDomain: TrustDomain;
  readonly mirror: Mirror;
  readonly entries: EntryReader;
  /** Trust domains whose bundles the mirror has. */
  readonly foreign: Set<TrustDomain>;
  /** The own bundle, each time that it changes, before the mirror has it. */
  readonly onBundle: (bundle: TrustBundle) => void;
  /** Key identifiers of tainted authorities, lower-case hex. */
  readonly onTainted: (ids: readonly string[]) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Feed {
  readonly kind: 'sidekey' | 'spire';
  /** What a Sidekey server said of itself. */
  readonly greeting:
    | { readonly version: string; readonly x509SvidTtl: number; readonly jwtSvidTtl: number }
    | undefined;
  /** Resolves when the first whole state is in the mirror. @throws Failure */
  readonly ready: Promise<void>;
  /** Resolves when it has ended: undefined if the server ended it in order. Never rejects. */
  readonly ended: Promise<Error | undefined>;
  report(report: Report): void;
  /** Nothing reaches the mirror any more. */
  stop(): void;
}
