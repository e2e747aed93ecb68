/** The types of the client that the package exports, as one file of declarations. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The files whose exports src/client/package.ts exports, types of the generated one first. */
const FILES = ['gen/admin-api', 'client/event-parser', 'client/client'];

/** @throws Error with the compiler's report */
export function clientTypes(root: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-types-'));
  try {
    const config = path.join(folder, 'tsconfig.json');
    const compilerOptions = {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      stripInternal: true,
      rootDir: path.join(root, 'src'),
      outDir: folder,
      typeRoots: [path.join(root, 'node_modules/@types')],
    };
    const files = [path.join(root, 'src/client/package.ts')];
    writeFileSync(
      config,
      JSON.stringify({ extends: path.join(root, 'tsconfig.json'), compilerOptions, files, include: [] }),
    );
    const tsc = path.join(root, 'node_modules/.bin/tsc');
    const { status, stdout } = spawnSync(tsc, ['-p', config], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`the types of the client could not be made:\n${stdout}`);
    const texts = FILES.map((name) => readFileSync(path.join(folder, `${name}.d.ts`), 'utf8'));
    return texts.map(withoutImports).join('\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** All that the files import is of each other, and in the one file. */
function withoutImports(text: string): string {
  return text.replace(/^(import|export) [^;]*? from '[^']+';\n/gms, '');
}
