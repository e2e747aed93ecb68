/** `npm run check`: types, lint and format, import rules, and the drawing of the rooms in docs/architecture.md. */

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { draw, impureFaces, readImports, violations } from './import-rules.ts';

const root = path.dirname(import.meta.dirname);
const bin = path.join(root, 'node_modules/.bin');
/** Biome colours even what goes into a file. */
const colours = process.stdout.isTTY ? [] : ['--colors=off'];
const architecture = path.join(root, 'docs/architecture.md');

function run(name: string, command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(path.join(bin, command), args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('close', (status) => resolve(report(name, status === 0)));
  });
}

function report(name: string, passed: boolean): boolean {
  console.log(`${passed ? 'ok  ' : 'FAIL'} ${name}`);
  return passed;
}

function imports(): boolean {
  const src = path.join(root, 'src');
  const all = readImports(src);
  const broken = [...violations(all), ...impureFaces(src)];
  for (const line of broken) console.error(line);
  const rules = report('import rules', broken.length === 0);
  return drawing(draw(all)) && rules;
}

/** The drawing in the document is the one that the code gives; `--write` puts it there. */
function drawing(graph: string): boolean {
  const text = readFileSync(architecture, 'utf8');
  const drawn = text.replace(/(?<=```mermaid\n)graph TD[^`]*?(?=\n```)/, graph);
  if (drawn !== text && process.argv.includes('--write')) writeFileSync(architecture, drawn);
  else if (drawn !== text || !text.includes(graph)) {
    console.error("docs/architecture.md does not show today's rooms: npm run check -- --write");
    return report('drawing of the rooms', false);
  }
  return report('drawing of the rooms', true);
}

const results = [
  imports(),
  ...(await Promise.all([
    run('types', 'tsc', []),
    run('types of the page', 'tsc', ['-p', 'src/page']),
    run('lint and format', 'biome', ['ci', '--error-on-warnings', ...colours]),
  ])),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
