/** Reads the file, or all files of the folder, that declares entries. */

import type { BigIntStats, Stats } from 'node:fs';
import { lstat, opendir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileVersion, type Problem, readInputFile, SidekeyError } from '../base/index.ts';
import { decodeText, type NamedText } from './entries-source.ts';

/** Maximum size of one file, in bytes: about 50,000 entries in JSON. */
export const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** Maximum size of all files of a folder together, in bytes. */
const MAX_FOLDER_BYTES = 32 * 1024 * 1024;
/** Maximum number of files in a folder. */
const MAX_FILES = 1_000;
const NAMES_AT_ONCE = 1_000;
/** How often a folder is read again because it changed meanwhile. */
const MOST_ATTEMPTS = 5;

const READABLE_RULE = 'entries are in a YAML or JSON file, in UTF-8, that this user can read';
const FOLDER_RULE = 'entries are in its files *.yaml, *.yml and *.json; for no entries, write entries: [] into one';
const EXTENSIONS: ReadonlySet<string> = new Set(['.yaml', '.yml', '.json']);

/** The texts at a place at one time. */
export interface InputTexts {
  readonly texts: readonly NamedText[];
  /** Equals {@link versionOf} the place as long as it has these texts. */
  readonly version: string;
}

/**
 * The text of a file, or the texts of a folder's files, by name. Files of a folder are those named `*.yaml`, `*.yml` or
 * `*.json` that are not hidden; symbolic links are followed to files of the folder's owner and to
 * files that everybody can read; folders in it are not.
 * @throws ERR_CONFIG if it is missing, an empty folder, too large, or unreadable
 */
export async function readInputTexts(place: string, maxBytes = MAX_FILE_BYTES): Promise<InputTexts> {
  for (let attempt = 1; ; attempt += 1) {
    const version = await versionOf(place);
    const texts = await readOnce(place, maxBytes);
    // Files that are replaced together, as those of a ConfigMap, are read together.
    if ((await versionOf(place)) === version) return { texts, version };
    if (attempt === MOST_ATTEMPTS) throw unreadable(place, 'it changes while it is read');
  }
}

async function readOnce(place: string, maxBytes: number): Promise<NamedText[]> {
  const folder = await stat(place).catch(() => undefined);
  if (folder?.isDirectory() !== true) return [await readText(place, maxBytes)];
  const files = await filesIn(place).catch((thrown: Error) => {
    throw unreadable(place, `it can't be read: ${thrown.message}`);
  });
  if (files.length === 0) throw unreadable(place, 'it has no file of entries', FOLDER_RULE);
  if (files.length > MAX_FILES) {
    throw unreadable(
      place,
      `it has more than ${MAX_FILES} files`,
      `a folder of entries has at most ${MAX_FILES} files`,
    );
  }
  const texts: NamedText[] = [];
  const problems: Problem[] = [];
  let bytes = 0;
  for (const file of files) {
    try {
      const text = await readText(file, maxBytes, (stats) => checkOwner(file, stats, folder.uid));
      bytes += Buffer.byteLength(text.text);
      texts.push(text);
    } catch (thrown) {
      problems.push(...(thrown as SidekeyError).problems);
    }
    if (bytes > Math.min(MAX_FOLDER_BYTES, 2 * maxBytes)) {
      throw unreadable(place, 'its files are too large', `they have at most ${MAX_FOLDER_BYTES} bytes together`);
    }
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  return texts;
}

/**
 * Whoever can write in the folder can put a link to any file there, and messages about faults repeat words of a file. So
 * a file elsewhere belongs to the owner of the folder, or everybody can read it anyway.
 */
async function checkOwner(file: string, opened: Stats, owner: number): Promise<void> {
  const there = await lstat(file);
  const isLink = there.dev !== opened.dev || there.ino !== opened.ino;
  if (!isLink || opened.uid === owner || (opened.mode & 0o004) !== 0) return;
  throw new Error(
    `it is a link to a file of uid ${opened.uid}, which others can't read, and the folder belongs to uid ${owner}`,
  );
}

async function readText(file: string, maxBytes: number, check?: (stats: Stats) => Promise<void>): Promise<NamedText> {
  try {
    return { name: file, text: decodeText(await readInputFile(file, maxBytes, check)) };
  } catch (thrown) {
    throw unreadable(file, `it can't be read: ${(thrown as Error).message}`);
  }
}

function unreadable(place: string, problem: string, rule = READABLE_RULE): SidekeyError {
  return SidekeyError.badInput([{ path: place, problem, rule }], 'ERR_CONFIG');
}

/**
 * The files of entries in a folder, by name. Of more than may be there, only one more: each look at a watched folder
 * takes time for each of them.
 * @throws Error of opendir(3) or readdir(3)
 */
export async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const one of await opendir(folder, { bufferSize: NAMES_AT_ONCE })) {
    if (one.name.startsWith('.') || !EXTENSIONS.has(path.extname(one.name)) || one.isDirectory()) continue;
    files.push(path.join(folder, one.name));
    if (files.length > MAX_FILES) break;
  }
  return files.sort();
}

/** Changes when the file, or a file of the folder, is written, replaced, added or removed. Never rejects. */
export async function versionOf(place: string): Promise<string> {
  try {
    const stats = await stat(place, { bigint: true });
    if (!stats.isDirectory()) return fileVersion(stats);
    const files = await filesIn(place);
    const versions = await Promise.all(files.map(async (file) => `${file} ${await fileVersionOf(file)}`));
    return [await realpath(place), ...versions].join('\n');
  } catch (thrown) {
    return String((thrown as NodeJS.ErrnoException).code ?? thrown);
  }
}

async function fileVersionOf(file: string): Promise<string> {
  const stats: BigIntStats | string = await stat(file, { bigint: true }).catch((thrown) => String(thrown.code));
  return typeof stats === 'string' ? stats : fileVersion(stats);
}
