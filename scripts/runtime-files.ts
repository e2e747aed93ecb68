/** The files that `sidekey` needs to run, for the image and for the Debian package. */

import { cpSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
export const PLATFORM = `linux-${process.arch}`;
/** Where scripts/node looks for Node, from the folder of the program on. */
export const NODE_FILE = `node_modules/node-${PLATFORM}/bin/node`;

const koffi = `node_modules/@koromix/koffi-${PLATFORM}`;
/** The bundles hold all packages but the two with native code, and of those it takes what this platform loads. */
const FILES = [
  'bin/sidekey',
  'scripts/node',
  'dist',
  'node_modules/better-sqlite3/LICENSE',
  'node_modules/better-sqlite3/package.json',
  'node_modules/better-sqlite3/lib',
  `node_modules/better-sqlite3/prebuilds/${PLATFORM}.node`,
  'node_modules/koffi/LICENSE.txt',
  'node_modules/koffi/package.json',
  'node_modules/koffi/index.cjs',
  'node_modules/koffi/src/koffi/index.cjs',
  'node_modules/koffi/src/koffi/src/static.cjs',
  `${koffi}/package.json`,
  `${koffi}/index.js`,
  `${koffi}/linux_${process.arch}`,
];

/** Copies them below `target`, all but Node. @param keeps whether a file of `dist` is copied, by its path */
export function copyRuntimeFiles(target: string, keeps: (file: string) => boolean = () => true): void {
  for (const file of FILES) {
    cpSync(path.join(root, file), path.join(target, file), { recursive: true, filter: keeps });
  }
}
