/** SHA-256 of large files, without blocking the event loop. A hash is cached until the file changes. */

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { fileVersion, SidekeyError } from '../base/index.ts';
import { FairSlots, NO_CALLER, type SlotOwner } from '../limits/index.ts';
import { fileStatus } from './libc.ts';

export interface FileHasher {
  /**
   * The hash in lower-case hexadecimal digits.
   * @param owner the owner that is charged for the reads; owners take turns
   * @throws an error of open(2) or read(2); ERR_ATTESTATION_FAILED if the file is too large or changes
   */
  sha256(path: string, owner?: SlotOwner): Promise<string>;
  /** The number of files read since the start. */
  readonly runs: number;
}

export interface FileHashLimits {
  /** Maximum size of a file, in bytes. */
  readonly maxBytes: number;
  /** Maximum number of cached hashes. */
  readonly remembered: number;
}

export const FILE_HASH_LIMITS: FileHashLimits = { maxBytes: 512 * 1024 * 1024, remembered: 256 };

/** Hashing one slice blocks the event loop for a fraction of a millisecond. */
const SLICE_BYTES = 256 * 1024;
/** Concurrent reads. The limits leave threads of libuv's pool free if a file system hangs, which any user may mount. */
const SLOTS = { all: 4, perUser: 3, perOwner: 1 };

export function createFileHasher(limits: FileHashLimits = FILE_HASH_LIMITS): FileHasher {
  /** By file version; the least recently used comes first. */
  const hashes = new Map<string, string>();
  /**
   * Unfinished hashes by version and owner. Owners do not share them, because one owner may wait longer than another.
   */
  const reading = new Map<string, Promise<string>>();
  const slots = new FairSlots(SLOTS);
  let runs = 0;

  return {
    get runs() {
      return runs;
    },
    async sha256(path, owner = NO_CALLER) {
      const turn = <T>(task: () => Promise<T>) => slots.run(owner, task);
      // A cached hash is returned without the thread pool, because waiting for that takes most of an attestation's
      // time.
      const status = fileStatus(path);
      const known = status.onBlockDevice ? recall(fileVersion(status), owner.name) : undefined;
      if (known !== undefined) return known;
      // On a dead file system even opening hangs, so it needs a slot too.
      const file = await turn(() => open(path, 'r'));
      try {
        const stat = await turn(() => file.stat({ bigint: true }));
        if (stat.size > limits.maxBytes) throw tooLarge(stat.size, limits.maxBytes);
        const version = fileVersion(stat);
        // Concurrent calls of one owner share the first one's reads.
        return await (recall(version, owner.name) ?? remember(version, owner.name, hashUnchanged(file, version, turn)));
      } finally {
        await turn(() => file.close());
      }
    },
  };

  /** Takes a slot for each slice, so that a small file of another owner does not wait for a large one. */
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
  const message = `the binary has ${size} bytes; the limit for unix:sha256 is ${limit}`;
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
