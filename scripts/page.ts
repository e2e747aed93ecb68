/**
 * Bundles the page that the admin API serves: dist/page/index.html and assets/, which are named by their content, so that
 * browsers may keep them for good. The assets are stored compressed only; the server unpacks one for a client that takes
 * neither form.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { build } from 'esbuild';

export interface PageFile {
  /** Below dist/page. */
  readonly name: string;
  readonly content: Uint8Array;
}

/** Browsers of the last two years. */
const TARGET = ['chrome131', 'edge131', 'firefox133', 'safari18.2'];

/** @throws Error when the sources are wrong, or index.html does not load what is built */
export async function pageFiles(root: string): Promise<PageFile[]> {
  const src = path.join(root, 'src/page');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { page: path.join(src, 'main.tsx') },
    outdir: path.join(root, 'dist/page/assets'),
    entryNames: '[name]-[hash]',
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: TARGET,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    legalComments: 'none',
    charset: 'utf8',
    sourcemap: false,
    write: false,
    logLevel: 'warning',
  });
  let html = readFileSync(path.join(src, 'index.html'), 'utf8');
  const assets: PageFile[] = [];
  for (const { path: file, contents } of outputFiles) {
    const name = path.basename(file);
    html = withName(html, name);
    assets.push(...(await compressed(`assets/${name}`, contents)));
  }
  // A browser would load what is not there, and stay empty.
  const unnamed = /\/assets\/page\.\w+/.exec(html);
  if (unnamed !== null)
    throw new Error(`src/page/index.html loads ${unnamed[0]}, which src/page/main.tsx does not give`);
  return [{ name: 'index.html', content: Buffer.from(html) }, ...assets];
}

/** index.html names /assets/page.js; the file is /assets/page-HASH.js. */
function withName(html: string, name: string): string {
  const plain = `/assets/page${path.extname(name)}`;
  if (!html.includes(`"${plain}"`)) throw new Error(`src/page/index.html does not load ${plain}`);
  return html.replace(`"${plain}"`, `"/assets/${name}"`);
}

async function compressed(name: string, content: Uint8Array): Promise<PageFile[]> {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  return [
    { name: `${name}.br`, content: await promisify(brotliCompress)(content, { params }) },
    { name: `${name}.gz`, content: await promisify(gzip)(content, { level: 9 }) },
  ];
}
