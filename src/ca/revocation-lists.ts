/**
 * The revocation lists in the bundle. Verifiers that have a list need one of each authority on a path, of the root too:
 * they refuse every SVID under an authority without one. So all authorities in and under the bundle have lists, or none.
 *
 * @see RFC 5280 sections 5 and 6.3
 */

import type { X509Certificate } from 'node:crypto';
import type { Revocation } from '../base/index.ts';
import { EPOCH_TRUST_DOMAIN } from '../spiffe/index.ts';
import { type Authority, makeRoot } from './authority.ts';
import { encodeRevoked, writeCrl } from './crl.ts';
import { pem } from './pem.ts';
import { localSigner } from './signer.ts';

/** The list of one authority. Times in milliseconds since the epoch. */
export interface RevocationList {
  readonly authority: Authority;
  readonly der: Buffer;
  /** See {@link ListTimes}. */
  readonly number: number;
  readonly revoked: readonly Revocation[];
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly signedAt: number;
}

/**
 * The number of the last list of each authority, by its ID: when it begins, in seconds since the epoch. Greater only if
 * the clock was set back to before that time.
 */
export type ListTimes = Readonly<Record<string, number>>;

export interface SignedLists {
  readonly lists: readonly RevocationList[];
  readonly times: ListTimes;
  /** True if the lists or the throw-away CA differ from the published ones. */
  readonly changed: boolean;
  /**
   * The throw-away CA of these lists, PEM. It stays when they go, or sessions from before them would be resumed again.
   * Undefined before the first list.
   */
  readonly epoch: Buffer | undefined;
  /** When a revoked certificate ends and the lists should be signed again. Infinity if there are none. */
  readonly lookAt: number;
}

/**
 * Verifiers refuse everything under a list of the future, and the clocks of other hosts may be behind: so lists begin in
 * the past.
 */
const BACKDATE_MS = 3_600_000;
/** Certificates that have ended leave the lists together: each change of a list reaches every proxy. */
const SHRINK_MS = 600_000;
/** The throw-away CA outlives any list. Nothing verifies its certificate. */
const EPOCH_LIFE_MS = 20 * 365 * 86_400_000;

const NONE: SignedLists = {
  lists: [],
  times: {},
  changed: false,
  epoch: undefined,
  lookAt: Number.POSITIVE_INFINITY,
};

export class RevocationLists {
  readonly #withEpoch: boolean;
  #revoked: readonly Revocation[] = [];
  /** Entries of lists, DER. */
  readonly #encoded = new WeakMap<Revocation, Buffer>();
  #published: SignedLists = NONE;
  /** The next throw-away CA, PEM, made ahead so that a revocation does not wait for it. Its key is not kept. */
  #nextEpoch: Promise<Buffer> | undefined;

  /**
   * @param withEpoch publish a throw-away CA with the lists
   * @param epoch the one that an earlier process published
   */
  constructor(withEpoch: boolean, epoch: Buffer | undefined) {
    this.#withEpoch = withEpoch;
    this.#published = { ...NONE, epoch: withEpoch ? epoch : undefined };
  }

  /** The lists in the bundle. */
  get published(): SignedLists {
    return this.#published;
  }

  /** Replaces the set of revoked certificates. The next review signs the lists. */
  set(revoked: readonly Revocation[]): void {
    this.#revoked = revoked;
  }

  /** True if a revoked certificate is unexpired. */
  isNeeded(now: number): boolean {
    return this.#revoked.some(({ notAfter }) => now < notAfter);
  }

  /**
   * The lists of these authorities, each signed again only if it has changed. Nothing is published before
   * {@link publish}.
   * @param authorities whose keys are here; empty: no lists
   * @param times of the lists that were signed before, also by an earlier process
   */
  async sign(authorities: readonly Authority[], times: ListTimes, now: number): Promise<SignedLists> {
    const before = this.#published;
    if (authorities.length === 0 || !this.isNeeded(now)) {
      const wereListed = Object.keys(times).length > 0;
      const epoch = wereListed ? (before.epoch ?? (await this.#takeEpoch(now))) : undefined;
      return { ...NONE, times, epoch, changed: before.lists.length > 0 || epoch !== before.epoch };
    }
    const revoked = Map.groupBy(
      this.#revoked.filter(({ notAfter }) => now < notAfter),
      ({ authorityId }) => authorityId,
    );
    const lists: RevocationList[] = [];
    const signed: Record<string, number> = {};
    for (const authority of authorities) {
      const present = before.lists.find((list) => list.authority === authority);
      const wanted = revoked.get(authority.id) ?? [];
      if (present !== undefined && !isOutdated(present, wanted, now)) lists.push(present);
      else {
        const list = await this.#signOne(authority, wanted, times[authority.id] ?? 0, now);
        signed[authority.id] = list.number;
        lists.push(list);
      }
    }
    const changed = lists.length !== before.lists.length || lists.some((list) => !before.lists.includes(list));
    return {
      ...{ lists, changed, times: { ...times, ...signed } },
      epoch: changed ? await this.#takeEpoch(now) : before.epoch,
      lookAt: lookAt(lists, now),
    };
  }

  publish(signed: SignedLists): void {
    this.#published = signed;
  }

  async #signOne(authority: Authority, revoked: readonly Revocation[], last: number, now: number) {
    // Of two lists, verifiers use the one that begins later, in whole seconds.
    const number = Math.max(last + 1, Math.floor((now - BACKDATE_MS) / 1000));
    const thisUpdate = Math.min(number, Math.floor(now / 1000)) * 1000;
    const nextUpdate = authority.notAfter;
    const entries = revoked.map((one) => this.#entryOf(one));
    const der = await writeCrl(localSigner(authority), { revoked: entries, number, thisUpdate, nextUpdate });
    return { authority, der, number, revoked, thisUpdate, nextUpdate, signedAt: now };
  }

  #entryOf(revocation: Revocation): Buffer {
    let entry = this.#encoded.get(revocation);
    if (entry === undefined) {
      entry = encodeRevoked(revocation);
      this.#encoded.set(revocation, entry);
    }
    return entry;
  }

  async #takeEpoch(now: number): Promise<Buffer | undefined> {
    if (!this.#withEpoch) return undefined;
    const epoch = await (this.#nextEpoch ?? makeEpoch(now));
    this.#nextEpoch = makeEpoch(now);
    this.#nextEpoch.catch(() => {
      this.#nextEpoch = undefined;
    });
    return epoch;
  }
}

/** The certificate of a CA whose key nobody has, PEM. */
async function makeEpoch(now: number): Promise<Buffer> {
  const certificate = await makeThrowAwayRoot(now);
  return Buffer.from(pem('CERTIFICATE', certificate.raw), 'latin1');
}

/**
 * True if a certificate was revoked, restored, or ended a while ago since the list was signed; also if the clock was set
 * back to before its beginning.
 */
function isOutdated(
  { revoked, signedAt, thisUpdate }: RevocationList,
  wanted: readonly Revocation[],
  now: number,
): boolean {
  const [listed, present] = [new Set(revoked), new Set(wanted)];
  if (now < thisUpdate || wanted.some((one) => !listed.has(one))) return true;
  if (wanted.length === revoked.length) return false;
  return revoked.some((one) => now < one.notAfter && !present.has(one)) || now >= signedAt + SHRINK_MS;
}

function lookAt(lists: readonly RevocationList[], now: number): number {
  const ends = lists.flatMap(({ revoked }) => revoked.map(({ notAfter }) => notAfter));
  const last = ends.reduce((latest, end) => Math.max(latest, end), now);
  const next = ends.reduce((soonest, end) => Math.min(soonest, end), last);
  return Math.min(Math.max(next, now + SHRINK_MS), last);
}

/** The certificate of a CA of {@link EPOCH_TRUST_DOMAIN} whose key is thrown away. @param now milliseconds since the epoch */
export async function makeThrowAwayRoot(now: number): Promise<X509Certificate> {
  const { certificate } = await makeRoot(
    { trustDomain: EPOCH_TRUST_DOMAIN, subject: [], keyType: 'ec-p256', now },
    EPOCH_LIFE_MS,
  );
  return certificate;
}
