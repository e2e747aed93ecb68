/** SHA-256 of large files, without keeping the event loop waiting, remembered for as long as a file stays the same. */

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { SidekeyError } from '../base/errors.ts';
import { fileVersion } from '../base/file-version.ts';
import { FairSlots, NO_CALLER, type SlotOwner } from '../limits/fair-slots.ts';
import { fileStatus } from './libc.ts';

export interface FileHasher {
  /**
   * Lower-case hex. @throws the error of open(2) or read(2); ERR_ATTESTATION_FAILED beyond the size limit
   * @param owner for whom it is read: owners have their turns one after the other, however much one asks for
   */
  sha256(path: string, owner?: SlotOwner): Promise<string>;
  /** How many files were read, since the start. */
  readonly runs: number;
}

export interface FileHashLimits {
  /** The largest file that is hashed, in bytes. */
  readonly maxBytes: number;
  /** How many hashes are remembered. */
  readonly remembered: number;
}

export const FILE_HASH_LIMITS: FileHashLimits = { maxBytes: 512 * 1024 * 1024, remembered: 256 };

/** Read on the thread pool; hashing one such slice takes the event loop a fraction of a millisecond. */
const SLICE_BYTES = 256 * 1024;
/**
 * Slices read at a time, one of an owner: a file system that hangs, which any user may mount, takes neither all of the
 * pool's threads nor everybody's turn.
 */
const SLOTS = { all: 4, perUser: 3, perOwner: 1 };

export function createFileHasher(limits: FileHashLimits = FILE_HASH_LIMITS): FileHasher {
  /** By version of a file, the least recently used first. */
  const hashes = new Map<string, string>();
  /** Hashes that are being read, by version and owner: an owner whose turn is far off keeps no other owner waiting. */
  const reading = new Map<string, Promise<string>>();
  const slots = new FairSlots(SLOTS);
  let runs = 0;

  return {
    get runs() {
      return runs;
    },
    async sha256(path, owner = NO_CALLER) {
      const turn = <T>(task: () => Promise<T>) => slots.run(owner, task);
      // A hash that is known takes no turn of the thread pool: those would be most of an attestation's time.
      const status = fileStatus(path);
      const known = status.onBlockDevice ? recall(fileVersion(status), owner.name) : undefined;
      if (known !== undefined) return known;
      // Even opening hangs on a dead file system: it takes a turn too, so that the rest of the pool stays free.
      const file = await turn(() => open(path, 'r'));
      try {
        const stat = await turn(() => file.stat({ bigint: true }));
        if (stat.size > limits.maxBytes) throw tooLarge(stat.size, limits.maxBytes);
        const version = fileVersion(stat);
        // The first to ask keeps the file open until it is hashed; others of its owner wait for it.
        return await (recall(version, owner.name) ?? remember(version, owner.name, hashUnchanged(file, version, turn)));
      } finally {
        await turn(() => file.close());
      }
    },
  };

  /** Slice by slice, so that a small file of another owner does not wait for a large one. */
  async function hashUnchanged(
    file: FileHandle,
    version: string,
    turn: <T>(task: () => Promise<T>) => Promise<T>,
  ): Promise<string> {
    runs += 1;
    const hash = createHash('sha256');
    const slice = Buffer.allocUnsafe(SLICE_BYTES);
    for (;;) {
      const bytesRead = await turn(async () => {
        const read = await file.read(slice, 0, SLICE_BYTES);
        hash.update(slice.subarray(0, read.bytesRead));
        return read.bytesRead;
      });
      if (bytesRead === 0) break;
    }
    if (fileVersion(await turn(() => file.stat({ bigint: true }))) !== version) {
      throw new SidekeyError('ERR_ATTESTATION_FAILED', 'the binary changed while it was read');
    }
    return hash.digest('hex');
  }

  function recall(version: string, owner: string): string | Promise<string> | undefined {
    const hash = hashes.get(version);
    if (hash === undefined) return reading.get(`${version} ${owner}`);
    hashes.delete(version);
    hashes.set(version, hash);
    return hash;
  }

  function remember(version: string, owner: string, read: Promise<string>): Promise<string> {
    const key = `${version} ${owner}`;
    const kept = read
      .then((hash) => {
        hashes.delete(version);
        hashes.set(version, hash);
        if (hashes.size > limits.remembered) hashes.delete(hashes.keys().next().value!);
        return hash;
      })
      .finally(() => reading.delete(key));
    reading.set(key, kept);
    return kept;
  }
}

function tooLarge(size: bigint, limit: number): SidekeyError {
  const message = `the binary has ${size} bytes; for its sha256 it may have ${limit}`;
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
