/**
 * Entries as servers send them. One that breaks a rule of Sidekey's, or has a field that this version does not know, is left
 * out: it is served to nobody.
 */

import { parseBytes, SidekeyError } from '../base/index.ts';
import type { Entry as SpireEntry } from '../gen/spire/api/types.ts';
import { type Entry, type EntryRules, entryFromJson, parseEntryInput } from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { cleaned } from './failure.ts';
import { MAX_ENTRIES, MAX_ENTRY_BYTES } from './limits.ts';

export class EntryReader {
  readonly #rules: EntryRules;
  readonly #log: Log;
  /** Entries that a warning was logged for, by id and revision, so that each has one. */
  readonly #warned = new Set<string>();

  constructor(trustDomain: TrustDomain, log: Log) {
    // The server has decided about weak selectors, and an agent is of a fleet.
    this.#rules = { trustDomain, allowWeakSelectors: true, hasAgents: true };
    this.#log = log;
  }

  /**
   * Without `entry` it is left out.
   * @param bytes JSON in UTF-8, as a Sidekey server writes it @returns `id`: empty if it can't be read
   */
  pushed(bytes: Buffer): { readonly id: string; readonly entry?: Entry } {
    const value = readJson(bytes);
    const { id, revision_number: revision } = (value ?? {}) as Readonly<Record<string, unknown>>;
    const name = typeof id === 'string' ? id : '';
    if (value === undefined) {
      this.#leaveOut('', '', 'it is larger than an entry may be, or not JSON');
      return { id: '' };
    }
    try {
      return { id: name, entry: entryFromJson(value, this.#rules) };
    } catch (error) {
      this.#leaveOut(name, String(revision), problemOf(error));
      return { id: name };
    }
  }

  /** @returns undefined: it is left out */
  ofSpire(entry: SpireEntry): Entry | undefined {
    // SVIDs of such an entry go to a store of SPIRE's agent, never to workloads.
    if (entry.storeSvid) return undefined;
    const created = Number(entry.createdAt) * 1000;
    try {
      const input = parseEntryInput(
        {
          id: entry.id,
          spiffe_id: idText(entry.spiffeId),
          parent_id: entry.parentId === undefined ? '' : idText(entry.parentId),
          selectors: entry.selectors.map(({ type, value }) => ({ type, value })),
          x509_svid_ttl: entry.x509SvidTtl,
          jwt_svid_ttl: entry.jwtSvidTtl,
          federates_with: entry.federatesWith,
          dns_names: entry.dnsNames,
          hint: entry.hint,
          expires_at: Number(entry.expiresAt),
        },
        this.#rules,
      );
      const revisionNumber = Number(entry.revisionNumber);
      return { ...input, id: entry.id, createdAt: created, updatedAt: created, revisionNumber, source: 'spire' };
    } catch (error) {
      this.#leaveOut(entry.id, String(entry.revisionNumber), problemOf(error));
      return undefined;
    }
  }

  #leaveOut(id: string, revision: string, problem: string): void {
    const key = `${id.slice(0, 255)} ${revision.slice(0, 40)}`;
    if (this.#warned.has(key)) return;
    if (this.#warned.size < MAX_ENTRIES) this.#warned.add(key);
    this.#log.warn(
      { entry_id: cleaned(id), problem: problem.slice(0, 1000) },
      'an entry of the server is served to nobody on this host: it breaks a rule, or is of a newer Sidekey',
    );
  }
}

/** Undefined: it is not JSON in UTF-8, or too large. */
function readJson(bytes: Buffer): unknown {
  if (bytes.length > MAX_ENTRY_BYTES) return undefined;
  try {
    return parseBytes(bytes);
  } catch {
    // The message would have a part of the text, which may be secret.
    return undefined;
  }
}

/** Messages of rules leave secret values out. */
function problemOf(error: unknown): string {
  if (error instanceof SidekeyError) return error.message;
  throw error;
}

function idText(id: SpireEntry['spiffeId']): string {
  return `spiffe://${id?.trustDomain ?? ''}${id?.path ?? ''}`;
}
