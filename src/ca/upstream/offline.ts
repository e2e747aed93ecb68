/**
 * An offline root: people carry the request to it and the signed certificates back. The request and its key are stored
 * until then.
 */

import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import path from 'node:path';
import { type Clock, SidekeyError } from '../../base/index.ts';
import type { AuthorityKeyType, TrustDomain } from '../../spiffe/index.ts';
import { generateAuthorityKey } from '../authority-key.ts';
import type { ReadPrivateKey } from '../key-codec.ts';
import type { NamePart } from '../name.ts';
import { makeCsr } from './csr.ts';
import { proveAnswer } from './proof.ts';
import type { ManualUpstream, Minted, MintedKey, PendingRequest, UpstreamAuthority } from './upstream.ts';

/** Where the request is kept. */
export interface RequestStore {
  /** The directory of its files. */
  readonly dir: string;
  read(name: string): Promise<string | undefined>;
  write(name: string, text: string): Promise<void>;
  /** @throws ERR_CA if the file has no key, or one that the passphrase does not decrypt */
  readKey(name: string): Promise<ReadPrivateKey | undefined>;
  /** Encrypts it if there is a passphrase. */
  writeKey(name: string, key: KeyObject): Promise<void>;
  remove(name: string): Promise<void>;
  /** True if a stored authority has this key: then its request has been answered. */
  hasKey(publicKey: KeyObject): Promise<boolean>;
  /** The stored roots, for answers without a root. */
  roots(): Promise<readonly X509Certificate[]>;
}

export interface OfflineOptions {
  readonly trustDomain: TrustDomain;
  readonly subject: readonly NamePart[];
  /** Of a new request's key. */
  readonly keyType: AuthorityKeyType;
  readonly clock: Clock;
  readonly store: RequestStore;
}

const REQUEST_FILE = 'request.csr';
const KEY_FILE = 'request.key';
/** Minimum remaining lifetime of an intermediate, in milliseconds. */
const LEAST_LIFE_MS = 3_600_000;

interface OpenRequest extends PendingRequest {
  readonly privateKey: KeyObject;
}

/** Stores the key of an open request in the form that the passphrases require, whether the offline root is in use or not. */
export async function rewriteRequestKey(store: RequestStore): Promise<void> {
  const read = await store.readKey(KEY_FILE);
  if (read !== undefined && !read.isCurrent) await store.writeKey(KEY_FILE, read.key);
}

export class OfflineRoot implements UpstreamAuthority {
  readonly kind = 'offline';
  readonly description = 'an offline root';
  readonly manual: ManualUpstream = {
    prepare: async () => void (await this.#open()),
    pending: () => this.#request,
    answer: (certificates) => this.#answer(certificates),
    taken: () => this.#taken(),
  };
  readonly #options: OfflineOptions;
  #request: OpenRequest | undefined;
  #opening: Promise<OpenRequest> | undefined;

  constructor(options: OfflineOptions) {
    this.#options = options;
  }

  problem(): string | undefined {
    if (this.#request === undefined) return undefined;
    return `have the offline root sign the request ${this.#request.file}, then run sidekey ca import FILE, where FILE is its answer`;
  }

  async check(): Promise<void> {}

  /** People answer later. @throws ERR_UPSTREAM */
  async mint(): Promise<never> {
    throw new SidekeyError('ERR_UPSTREAM', `the request ${(await this.#open()).file} has to be signed by hand`);
  }

  async #taken(): Promise<void> {
    const { store } = this.#options;
    this.#request = undefined;
    this.#opening = undefined;
    for (const name of [REQUEST_FILE, KEY_FILE]) await store.remove(name);
  }

  async close(): Promise<void> {}

  #open(): Promise<OpenRequest> {
    this.#opening ??= this.#load().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #load(): Promise<OpenRequest> {
    this.#request = (await this.#stored()) ?? (await this.#make());
    return this.#request;
  }

  async #stored(): Promise<OpenRequest | undefined> {
    const { store } = this.#options;
    const [csr, read] = [await store.read(REQUEST_FILE), await store.readKey(KEY_FILE)];
    if (csr === undefined || read === undefined) return undefined;
    const { key: privateKey } = read;
    // A crash may have left the files of a request that was answered.
    if (await store.hasKey(createPublicKey(privateKey))) return undefined;
    return { file: path.join(store.dir, REQUEST_FILE), csr, privateKey };
  }

  async #make(): Promise<OpenRequest> {
    const { store, trustDomain, subject, keyType } = this.#options;
    const { privateKey } = await generateAuthorityKey(keyType);
    const csr = await makeCsr({ trustDomain, subject, privateKey });
    // Store the key first: a request without its key is useless.
    await store.writeKey(KEY_FILE, privateKey);
    await store.write(REQUEST_FILE, csr);
    return { file: path.join(store.dir, REQUEST_FILE), csr, privateKey };
  }

  async #answer(certificates: string): Promise<MintedKey> {
    const request = this.#request;
    if (request === undefined) {
      throw new SidekeyError('ERR_AUTHORITY_STATE', 'there is no request to answer: sidekey ca rotate makes one');
    }
    const { trustDomain, clock, store } = this.#options;
    const { privateKey } = request;
    const terms = { trustDomain, privateKey, leastLife: LEAST_LIFE_MS, now: clock.now() };
    let minted: Minted;
    try {
      minted = await proveAnswer({ certificates: [certificates] }, terms);
    } catch (error) {
      // The answer may lack the root, if an earlier answer had it.
      const trusted = await store.roots();
      if (trusted.length === 0) throw error;
      minted = await proveAnswer({ certificates: [certificates] }, { ...terms, trusted }).catch(() => {
        throw error;
      });
    }
    // Only the root of the chain may join the bundle: the file may contain unrelated self-signed certificates.
    return { ...minted, roots: minted.roots.slice(0, 1), privateKey };
  }
}
