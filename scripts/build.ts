/**
 * Makes dist/sidekey.mjs, which bin/sidekey runs: one bundle starts in half the time of the sources and needs a third
 * less memory. It is one file, without chunks, so that a server that runs while a new one is built misses nothing.
 */

import { renameSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const root = path.dirname(import.meta.dirname);
const outfile = path.join(root, 'dist/sidekey.mjs');

await build({
  entryPoints: [path.join(root, 'src/cli/main.ts')],
  outfile: `${outfile}.new`,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: false,
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
  // They load their own native code by path.
  external: ['better-sqlite3', 'koffi'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
});
renameSync(`${outfile}.new`, outfile);
