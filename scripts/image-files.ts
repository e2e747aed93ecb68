/**
 * `image-files.ts FOLDER`: copies what `sidekey` needs to run into FOLDER/opt/sidekey, for the image. Node is the base
 * image's.
 */

import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { copyRuntimeFiles, NODE_FILE } from './runtime-files.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('image-files.ts FOLDER');

const target = path.join(folder, 'opt/sidekey');
copyRuntimeFiles(target);

/** Where scripts/node looks for the pinned Node, stands the one of the base image, which has the same version. */
const node = path.join(target, NODE_FILE);
mkdirSync(path.dirname(node), { recursive: true });
symlinkSync('/usr/local/bin/node', node);

const command = path.join(folder, 'usr/local/bin/sidekey');
mkdirSync(path.dirname(command), { recursive: true });
symlinkSync('/opt/sidekey/bin/sidekey', command);
