/** Runs an installation with more flags for Node. Its bin/sidekey takes none from the environment, on purpose. */

import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Makes, in an empty `folder`, a launcher that is the installation's own but for the flags, and returns its path.
 * Node follows the link to the bundles, so that they find all else where the installation has it.
 */
export function launcherWith(root: string, folder: string, nodeFlags: readonly string[]): string {
  for (const name of ['bin', 'scripts']) mkdirSync(path.join(folder, name));
  symlinkSync(path.join(root, 'dist'), path.join(folder, 'dist'));
  const node = path.join(folder, 'scripts/node');
  const words = [path.join(root, 'scripts/node'), ...nodeFlags].map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
  writeFileSync(node, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(node, 0o755);
  const launcher = path.join(folder, 'bin/sidekey');
  copyFileSync(path.join(root, 'bin/sidekey'), launcher);
  return launcher;
}
