/**
 * The authority above Sidekey's own: it signs the intermediates. Each kind only has to answer a CSR with certificates
 * ({@link UpstreamSource}); `proved.ts` adds the CSR and the checks of the answer, so no kind can leave them out.
 */

import type { KeyObject, X509Certificate } from 'node:crypto';
import type { Listeners } from '../../base/index.ts';

export type UpstreamKind = 'disk' | 'vault' | 'command';

/**
 * Certificates as an upstream gives them, in any order: PEM text with any number of blocks, or one certificate as DER.
 */
export interface UpstreamAnswer {
  /** The new certificate, those above it, and roots. */
  readonly certificates: readonly (string | Uint8Array)[];
  /** Remarks of the upstream on its answer, not escaped. */
  readonly warnings?: readonly string[];
}

export interface SigningRequest {
  /** The CSR as PEM. */
  readonly csr: string;
  /** The requested lifetime, in milliseconds. The upstream may give less. */
  readonly life: number;
  readonly signal: AbortSignal;
}

interface UpstreamPart {
  readonly kind: UpstreamKind | 'offline';
  /** For people, without secrets: `vault https://vault.example.org:8200 pki`. */
  readonly description: string;
  /**
   * A fault that does not prevent signatures yet, such as faulty new files or a token that cannot be renewed; undefined
   * if there is none.
   */
  problem(): string | undefined;
  /** Whether it signs in spite of {@link problem}, until a restart, with files that were good before. */
  readonly signsMeanwhile?: () => boolean;
  /**
   * Checks files, program or login, as far as that is possible without a signature of the upstream.
   * @returns what was found good, for display @throws {Error} with the reason
   */
  check(): Promise<string>;
  /** The roots at one of which the next chain must end; undefined if only its answer says that. @throws {Error} */
  trusted(): Promise<readonly X509Certificate[] | undefined>;
  /** Tells that the issuer or the roots have changed, so that a new intermediate is needed. */
  readonly changed?: Listeners<void>;
  close(): Promise<void>;
}

/** One kind of upstream; its answers are not checked yet. */
export interface UpstreamSource extends UpstreamPart {
  /** Has the request signed. @throws {Error} whose message says what happened and what to do */
  sign(request: SigningRequest): Promise<UpstreamAnswer>;
}

export interface UpstreamAuthority extends UpstreamPart {
  /** @throws ERR_UPSTREAM */
  check(): Promise<string>;
  /** Has an intermediate for this key signed. The answer is checked. @throws ERR_UPSTREAM */
  mint(request: MintRequest): Promise<Minted>;
  /** Set if a person carries requests and answers, so that an answer may take days. */
  readonly manual?: ManualUpstream;
}

export interface ManualUpstream {
  /** Makes the request, unless there is one. */
  prepare(): Promise<void>;
  /** The request that waits for an answer. */
  pending(): PendingRequest | undefined;
  /** Takes the answer to it, PEM. @throws ERR_AUTHORITY_STATE if there is no request; ERR_UPSTREAM if it is refused */
  answer(certificates: string): Promise<MintedKey>;
  /** Call it when the answer is stored. */
  taken(): Promise<void>;
}

export interface PendingRequest {
  /** Its file, PEM. */
  readonly file: string;
  /** PEM. */
  readonly csr: string;
}

export interface MintRequest {
  /** The key of the new intermediate: EC (P-256, P-384, P-521) or RSA. */
  readonly privateKey: KeyObject;
  /** The requested lifetime, in milliseconds. */
  readonly life: number;
  /** The minimum remaining lifetime, in milliseconds; by default a tenth of `life`, an hour at most. */
  readonly leastLife?: number;
  /** Ends the request. Each kind has its own time limit beside it. */
  readonly signal?: AbortSignal;
}

/** A checked answer. */
export interface Minted {
  /** The new intermediate first, each issued by the next one; no root. */
  readonly chain: readonly X509Certificate[];
  /** Self-signed; the chain ends at the first one. */
  readonly roots: readonly X509Certificate[];
  /** When chain and root are valid together, in milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** For the log, escaped: what the upstream said, and the parts of its answer that were left out. */
  readonly warnings: readonly string[];
}

/** A proved answer with the key of the new intermediate. */
export interface MintedKey extends Minted {
  readonly privateKey: KeyObject;
}
