/**
 * `image-files.ts FOLDER`: copies what `sidekey` needs to run into FOLDER/opt/sidekey, for the image. The bundle holds all
 * packages but the two with native code, and of those it takes what this platform loads. Node is the base image's.
 */

import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('image-files.ts FOLDER');
const platform = `linux-${process.arch}`;
const koffi = `node_modules/@koromix/koffi-${platform}`;

const FILES = [
  'bin/sidekey',
  'scripts/node',
  'dist',
  'node_modules/better-sqlite3/LICENSE',
  'node_modules/better-sqlite3/package.json',
  'node_modules/better-sqlite3/lib',
  `node_modules/better-sqlite3/prebuilds/${platform}.node`,
  'node_modules/koffi/LICENSE.txt',
  'node_modules/koffi/package.json',
  'node_modules/koffi/index.cjs',
  'node_modules/koffi/src/koffi/index.cjs',
  'node_modules/koffi/src/koffi/src/static.cjs',
  `${koffi}/package.json`,
  `${koffi}/index.js`,
  `${koffi}/linux_${process.arch}`,
];

const target = path.join(folder, 'opt/sidekey');
for (const file of FILES) cpSync(path.join(root, file), path.join(target, file), { recursive: true });

/** Where scripts/node looks for the pinned Node, stands the one of the base image, which has the same version. */
const node = path.join(target, `node_modules/node-${platform}/bin/node`);
mkdirSync(path.dirname(node), { recursive: true });
symlinkSync('/usr/local/bin/node', node);

const command = path.join(folder, 'usr/local/bin/sidekey');
mkdirSync(path.dirname(command), { recursive: true });
symlinkSync('/opt/sidekey/bin/sidekey', command);
