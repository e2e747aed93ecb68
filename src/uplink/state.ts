/**
 * What an agent keeps over a restart: its SVID with the key, and the roots of its trust domain, in `agent.json` of its data
 * directory (0600). The file is written whole. One that cannot be used is refused, and never overwritten.
 */

import { X509Certificate } from 'node:crypto';
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { readTrustedFileNow, SidekeyError, writeFileAtomic } from '../base/index.ts';
import { certificateBlocks, pemOfAll, type TrustDomain } from '../spiffe/index.ts';
import { type OwnSvid, readSvid } from './own-svid.ts';

export interface KeptState {
  readonly svid: OwnSvid;
  readonly bundle: KeptBundle;
  /** The server was not verified when the agent joined. */
  readonly joinedInsecurely: boolean;
}

/** Roots by which the agent knows its servers. */
export interface KeptBundle {
  /** DER. */
  readonly roots: readonly Buffer[];
  readonly sequenceNumber: number;
}

const NAME = 'agent.json';
const VERSION = 1;
const MAX_BYTES = 4 * 1024 * 1024;

export class StateFile {
  readonly path: string;
  readonly #trustDomain: TrustDomain;

  constructor(dataDir: string, trustDomain: TrustDomain) {
    this.path = path.join(dataDir, NAME);
    this.#trustDomain = trustDomain;
  }

  /** Undefined: there is none yet. @throws ERR_DATA_DIR if it is of another trust domain, damaged, or open to others */
  read(): KeptState | undefined {
    if (!this.#exists()) return undefined;
    try {
      const text = readTrustedFileNow(this.path, {
        ...{ closed: true, maxBytes: MAX_BYTES },
        remedy: 'its key may be known to others: evict the agent, delete the file, and let the agent join again',
      });
      return this.#parse(text);
    } catch (cause) {
      throw new SidekeyError('ERR_DATA_DIR', `${this.path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** @throws ERR_DATA_DIR */
  write({ svid, bundle, joinedInsecurely }: KeptState): void {
    const { certificateChain, privateKey, reattestable, id } = svid;
    const file = {
      ...{ version: VERSION, trust_domain: this.#trustDomain, agent_id: id, reattestable },
      joined_insecurely: joinedInsecurely,
      certificate_chain: certificateChain,
      private_key: privateKey,
      bundle: {
        sequence_number: bundle.sequenceNumber,
        roots: pemOfAll(bundle.roots.map((der) => new X509Certificate(der))),
      },
    };
    try {
      writeFileAtomic(this.path, `${JSON.stringify(file, null, 2)}\n`);
    } catch (cause) {
      throw new SidekeyError('ERR_DATA_DIR', `${this.path} cannot be written: ${(cause as Error).message}`, { cause });
    }
  }

  #exists(): boolean {
    return lstatSync(this.path, { throwIfNoEntry: false }) !== undefined;
  }

  /** @throws Error */
  #parse(text: string): KeptState {
    const damaged = (problem: string) =>
      new Error(`${problem}; restore the file, or delete it and let the agent join again (sidekey agent token)`);
    let file: unknown;
    try {
      file = JSON.parse(text);
    } catch {
      throw damaged('it is not JSON');
    }
    if (typeof file !== 'object' || file === null) throw damaged('it is not an object');
    const { version, trust_domain, reattestable, joined_insecurely, certificate_chain, private_key, bundle } =
      file as Readonly<Record<string, unknown>>;
    if (version !== VERSION) throw new Error(`it is of the version ${String(version).slice(0, 20)}, not ${VERSION}`);
    if (trust_domain !== this.#trustDomain) {
      const other = String(trust_domain).slice(0, 255);
      throw new Error(
        `it is of an agent of the trust domain ${other}, not ${this.#trustDomain}: give this agent a data directory of its own (--data-dir)`,
      );
    }
    const { roots, sequence_number } = (bundle ?? {}) as Readonly<Record<string, unknown>>;
    if (
      typeof reattestable !== 'boolean' ||
      typeof joined_insecurely !== 'boolean' ||
      typeof certificate_chain !== 'string' ||
      typeof private_key !== 'string' ||
      typeof roots !== 'string' ||
      typeof sequence_number !== 'number'
    ) {
      throw damaged('a field of it is missing, or of another type');
    }
    try {
      const kept = { certificateChain: certificate_chain, privateKey: private_key, reattestable };
      const svid = readSvid(kept, this.#trustDomain);
      const certificates = certificateBlocks(roots).map((block) => new X509Certificate(block).raw);
      if (certificates.length === 0) throw new Error('its bundle has no root');
      return {
        svid,
        bundle: { roots: certificates, sequenceNumber: sequence_number },
        joinedInsecurely: joined_insecurely,
      };
    } catch (error) {
      throw damaged((error as Error).message);
    }
  }
}
