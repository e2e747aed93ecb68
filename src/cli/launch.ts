/**
 * dist/sidekey.cjs, which bin/sidekey runs: loads the bundles beside it, each with the code that V8 compiled during the
 * build, so that a start compiles almost nothing. Node's own cache serves only the user who filled it
 * (docs/decisions/code-cache.md).
 *
 * A bundle's code is in `<bundle>.code`: V8's bytes, then the CRC-32 of source and bytes. If the CRC does not match (another
 * build, damage) or V8 rejects the code (another version, other flags), the source is compiled.
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
    // latin1 is enough, because esbuild writes ASCII.
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
