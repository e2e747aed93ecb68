/** The trust domain's own bundle. */

import { Listeners } from '../base/index.ts';
import { type JwtAuthority, makeTrustBundle, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Authority } from './authority.ts';
import type { SignedLists } from './revocation-lists.ts';

/** How often others should look for a change by default, in seconds; SPIRE's default. */
export const DEFAULT_REFRESH_HINT = 300;

const NO_LISTS = { lists: [], epoch: undefined } as const;

/** What a bundle is made of. */
interface OwnBundleParts {
  readonly trustDomain: TrustDomain;
  readonly roots: readonly Authority[];
  readonly jwtAuthorities?: readonly JwtAuthority[];
  readonly signed?: Pick<SignedLists, 'lists' | 'epoch'>;
  readonly sequenceNumber: number;
  readonly documentNumber?: number;
  /** Seconds. */
  readonly refreshHint?: number;
}

/** The bundle of these roots and JWT keys, the roots oldest first. */
export function ownBundle(parts: OwnBundleParts): TrustBundle {
  const { trustDomain, roots, jwtAuthorities = [], signed = NO_LISTS, sequenceNumber } = parts;
  const { documentNumber = sequenceNumber, refreshHint = DEFAULT_REFRESH_HINT } = parts;
  const { lists, epoch } = signed;
  const oldestFirst = [...roots].sort((a, b) => a.notBefore - b.notBefore || (a.id < b.id ? -1 : 1));
  return makeTrustBundle({
    trustDomain,
    roots: oldestFirst.map((root) => root.certificate),
    jwtAuthorities,
    crls: lists.map(({ der }) => der),
    epoch,
    sequenceNumber,
    documentNumber,
    refreshHint,
  });
}

/**
 * The bundle that is published. Roots with their revocation lists, carried roots and JWT keys change independently, and each stores the number of
 * its last change; the bundle has the largest one.
 */
export class OwnBundle {
  readonly change: Listeners<TrustBundle>;
  /** How often others should look for a change, in seconds. */
  readonly refreshHint: number;
  readonly #trustDomain: TrustDomain;
  #roots: readonly Authority[] = [];
  #rootsNumber = 0;
  #rootsDocumentNumber = 0;
  #lists: Pick<SignedLists, 'lists' | 'epoch'> = NO_LISTS;
  #carried: readonly Authority[] = [];
  #carriedNumber = 0;
  #jwtKeys: readonly JwtAuthority[] = [];
  #jwtNumber = 0;
  #bundle: TrustBundle;
  /** The largest number that a bundle has, or may have. */
  #lastNumber = 0;
  #isOpen = false;

  /** @param failed called with the errors that listeners throw */
  constructor(trustDomain: TrustDomain, failed: (error: unknown) => void, refreshHint = DEFAULT_REFRESH_HINT) {
    this.#trustDomain = trustDomain;
    this.refreshHint = refreshHint;
    this.#bundle = ownBundle({ trustDomain, roots: [], sequenceNumber: 0, refreshHint });
    this.change = new Listeners(failed);
  }

  get current(): TrustBundle {
    return this.#bundle;
  }

  /** Notes a stored number: later ones are larger. */
  continueAfter(sequenceNumber: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, sequenceNumber);
  }

  /**
   * The number of the next change. It is at least the time in seconds, so that it grows even after an older copy of the
   * states was restored. Changes before {@link open} share one number, since no bundle was given out between them.
   * @param now milliseconds since the epoch
   */
  nextNumber(now: number): number {
    const number = Math.max(this.#lastNumber + 1, Math.floor(now / 1000));
    if (this.#isOpen) this.#lastNumber = number;
    return number;
  }

  /**
   * Sets the roots and their revocation lists.
   * @param number of their last change, which is stored
   * @param documentNumber of the last change of the roots, or of the refresh hint, which is stored too
   */
  setRoots(
    roots: readonly Authority[],
    number: number,
    lists: Pick<SignedLists, 'lists' | 'epoch'> = NO_LISTS,
    documentNumber = number,
  ): void {
    // Expired roots leave the bundle without a new number if it was stored before.
    if (number === this.#rootsNumber && roots.length === this.#roots.length) return;
    this.#roots = roots;
    this.#lists = lists;
    this.#rootsNumber = number;
    this.#rootsDocumentNumber = documentNumber;
    this.#changed();
  }

  /** Sets the roots of other servers. @param number of their last change, which is stored */
  setCarried(roots: readonly Authority[], number: number): void {
    if (number === this.#carriedNumber && roots.length === this.#carried.length) return;
    this.#carried = roots;
    this.#carriedNumber = number;
    this.#changed();
  }

  /** Sets the JWT keys. @param number of their last change, which is stored */
  setJwtKeys(keys: readonly JwtAuthority[], number: number): void {
    if (number === this.#jwtNumber && keys.length === this.#jwtKeys.length) return;
    this.#jwtKeys = keys;
    this.#jwtNumber = number;
    this.#changed();
  }

  /** From now on the bundle may be given out, so each change gets a number of its own. */
  open(): void {
    this.#isOpen = true;
    this.continueAfter(this.#bundle.sequenceNumber);
  }

  #changed(): void {
    const others = Math.max(this.#carriedNumber, this.#jwtNumber);
    // A carried root may have become one of the own, as that of an upstream.
    const carried = this.#carried.filter(({ certificate: { raw } }) => {
      return this.#roots.every((root) => !root.certificate.raw.equals(raw));
    });
    this.#bundle = ownBundle({
      trustDomain: this.#trustDomain,
      roots: [...this.#roots, ...carried],
      jwtAuthorities: this.#jwtKeys,
      signed: this.#lists,
      sequenceNumber: Math.max(this.#rootsNumber, others),
      documentNumber: Math.max(this.#rootsDocumentNumber, others),
      refreshHint: this.refreshHint,
    });
    this.change.tell(this.#bundle);
  }
}
