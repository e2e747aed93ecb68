/**
 * dist/sidekey.cjs, which bin/sidekey runs: takes the bundles beside it, each with the code that V8 made of it while the
 * build tried it out. A start then parses and compiles next to nothing. Node's own cache is of little help: it has what is
 * compiled before the first line of a file runs, which is none of the functions that a start calls.
 *
 * A bundle's code is in `<bundle>.code`: V8's bytes, then the CRC-32 of source and bytes. Whatever is wrong with it, be it of
 * another build or damaged, or of another version of V8 or other flags, which V8 itself sees: the source is compiled.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import { crc32 } from 'node:zlib';

const CRC_BYTES = 4;
const BESIDE = /^\.\/[a-z-]+\.cjs$/;

const bundles = new Map<string, unknown>();

const requireHere = Object.assign((name: string): unknown => {
  if (!BESIDE.test(name)) return require(name);
  if (!bundles.has(name)) bundles.set(name, run(path.join(__dirname, name)));
  return bundles.get(name);
}, require);

/** Runs a bundle as Node runs a CommonJS module, and returns what it exports. */
function run(file: string): unknown {
  const source = readFileSync(file);
  const script = new vm.Script(
    // ASCII, as esbuild writes it.
    `(function (exports, require, module, __filename, __dirname) {${source.toString('latin1')}\n})`,
    { filename: file, cachedData: codeOf(file, source) },
  );
  const module = { exports: {} };
  script.runInThisContext()(module.exports, requireHere, module, file, __dirname);
  return module.exports;
}

function codeOf(file: string, source: Buffer): Buffer | undefined {
  let kept: Buffer;
  try {
    kept = readFileSync(`${file}.code`);
  } catch {
    return undefined;
  }
  const bytes = kept.subarray(0, -CRC_BYTES);
  const isWhole = kept.length > CRC_BYTES && kept.readUInt32LE(bytes.length) === crc32(bytes, crc32(source));
  return isWhole ? bytes : undefined;
}

requireHere('./cli.cjs');
