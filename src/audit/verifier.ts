/** Checks the lines of an export: the chain of hashes, and the digests of issuances. */

import { CHAIN_FORMAT, chainHash, LineDigest, NO_HASH, splitRowLine } from './chain.ts';
import type { AuditRecord, IssuedDetail, PrunedDetail, TokensPrunedDetail } from './event.ts';

/** A row that is changed, missing, or in another place. The message names it. */
export class ChainError extends Error {}

/** What an export proves. */
export interface Verified {
  readonly rows: number;
  readonly issuances: number;
  /** The last row; 0 without any. */
  readonly sequence: number;
  /** The last row's hash. */
  readonly hash: string;
  /** The row before the first one; 0: the chain is complete from its beginning. */
  readonly after: number;
  /** True if the chain is complete, or if a row of it has the hash of the rows that were removed before it. */
  readonly anchored: boolean;
  /** Issuances from before the audit existed, which have no digest. */
  readonly unchained: number;
  /** JWT-SVIDs whose records were removed after their end, as a later row says. */
  readonly prunedTokens: number;
}

interface Group extends IssuedDetail {
  readonly sequence: number;
  readonly lines: LineDigest;
  next: number;
}

/** Give it each line in order, then call {@link end}. Memory does not grow with the number of lines. */
export class ChainVerifier {
  readonly #expected: string | undefined;
  #begun = false;
  #after = 0;
  #afterHash = NO_HASH;
  #sequence = 0;
  #hash = NO_HASH;
  #rows = 0;
  #issuances = 0;
  #unchained = 0;
  #anchored = false;
  #found = false;
  #group: Group | undefined;
  #prunedTokens = 0;
  /** Of the groups without issuances that no row accounts for so far, the one whose tokens end last. */
  #missing: Pick<Group, 'sequence' | 'latest_end'> | undefined;

  /** @param expected a hash that one of the rows must have, hex */
  constructor(expected?: string) {
    this.#expected = expected?.toLowerCase();
  }

  /** @throws ChainError */
  add(line: string): void {
    if (line === '') return;
    if (!this.#begun) this.#begin(line);
    else if (this.#group === undefined) this.#addRow(line);
    else if (this.#mayLack(this.#group) && !isIssuance(line)) {
      this.#leaveOut(this.#group);
      this.#addRow(line);
    } else this.#addIssuance(this.#group, line);
  }

  /** @throws ChainError */
  end(): Verified {
    if (!this.#begun) throw new ChainError('the export is empty');
    if (this.#group !== undefined && this.#mayLack(this.#group)) this.#leaveOut(this.#group);
    if (this.#group !== undefined) this.#failGroup(this.#group, 'some of its issuances are missing');
    if (this.#missing !== undefined) {
      this.#failGroup(this.#missing, 'its issuances are missing, and no later row says that they were removed');
    }
    if (this.#expected !== undefined && !this.#found) {
      throw new ChainError(
        `no row from ${this.#after} to ${this.#sequence} has the expected hash ${this.#expected}: rows at the end were removed, or the chain was computed anew, or the row is older than those that are kept`,
      );
    }
    return {
      rows: this.#rows,
      issuances: this.#issuances,
      sequence: this.#sequence,
      hash: this.#hash,
      after: this.#after,
      anchored: this.#anchored,
      unchained: this.#unchained,
      prunedTokens: this.#prunedTokens,
    };
  }

  #begin(line: string): void {
    const { chain, after } = parse(line) as {
      readonly chain?: unknown;
      readonly after?: { readonly sequence?: unknown; readonly hash?: unknown };
    };
    const { sequence, hash } = after ?? {};
    if (chain !== CHAIN_FORMAT || !Number.isSafeInteger(sequence) || !/^[0-9a-f]{64}$/.test(String(hash))) {
      throw new ChainError(`the first line is not that of an unfiltered export of the format ${CHAIN_FORMAT}`);
    }
    this.#begun = true;
    this.#after = Number(sequence);
    this.#afterHash = String(hash);
    this.#anchored = this.#after === 0 && this.#afterHash === NO_HASH;
    this.#sequence = this.#after;
    this.#hash = this.#afterHash;
    if (this.#hash === this.#expected) this.#found = true;
  }

  #addRow(line: string): void {
    const parts = splitRowLine(line);
    const sequence = this.#sequence + 1;
    if (parts === undefined) throw new ChainError(`the line after row ${this.#sequence} is not a row of the audit`);
    const record = parse(parts.record) as AuditRecord;
    if (record.sequence !== sequence) {
      throw new ChainError(`row ${sequence} is missing: row ${record.sequence} follows row ${this.#sequence}`);
    }
    const hash = chainHash(this.#hash, parts.record);
    if (hash !== parts.hash) {
      throw new ChainError(`row ${sequence} does not have its hash: it, or the row before it, was changed or moved`);
    }
    this.#sequence = sequence;
    this.#hash = hash;
    this.#rows += 1;
    if (hash === this.#expected) this.#found = true;
    this.#read(record);
  }

  #read({ action, detail, sequence }: AuditRecord): void {
    if (action === 'audit.pruned') {
      const { last, hash } = detail as unknown as PrunedDetail;
      if (last === this.#after && hash === this.#afterHash) this.#anchored = true;
    } else if (action === 'audit.tokens_pruned') {
      const { ended_before: endedBefore } = detail as unknown as TokensPrunedDetail;
      if (this.#missing !== undefined && this.#missing.latest_end < endedBefore) this.#missing = undefined;
    } else if (action === 'audit.started') {
      this.#unchained = Number(detail?.issuances_before ?? 0);
    } else if (action === 'svid.issued') {
      const issued = detail as unknown as IssuedDetail;
      this.#group = { ...issued, sequence, lines: new LineDigest(), next: issued.first };
    }
  }

  #addIssuance(group: Group, line: string): void {
    const { issuance } = parse(line) as { readonly issuance?: unknown };
    if (issuance !== group.next) this.#failGroup(group, `issuance ${group.next} is missing`);
    group.lines.add(line);
    group.next += 1;
    this.#issuances += 1;
    if (group.next <= group.last) return;
    this.#group = undefined;
    if (group.lines.hex() !== group.digest) {
      this.#failGroup(group, `an issuance from ${group.first} to ${group.last} was changed`);
    }
  }

  /** A group of tokens has all its issuances in an export, or none after their end. */
  #mayLack({ kind, next, first }: Group): boolean {
    return kind === 'jwt' && next === first;
  }

  #leaveOut({ sequence, first, last, latest_end }: Group): void {
    this.#group = undefined;
    this.#prunedTokens += last - first + 1;
    if (this.#missing === undefined || latest_end > this.#missing.latest_end) this.#missing = { sequence, latest_end };
  }

  #failGroup({ sequence }: Pick<Group, 'sequence'>, problem: string): never {
    throw new ChainError(`row ${sequence}, which has the digest of issuances: ${problem}`);
  }
}

function isIssuance(line: string): boolean {
  return (parse(line) as { readonly issuance?: unknown }).issuance !== undefined;
}

function parse(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Reported below.
  }
  throw new ChainError(`a line is not a JSON object: ${JSON.stringify(line.slice(0, 80))}`);
}
