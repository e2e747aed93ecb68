/**
 * `npm run test:matrix [-- VERSION…]`: every pinned version of Envoy by every way to ask, and a table of how long each
 * step took, in milliseconds. Exits 1 if one failed.
 */

import type { TestContext } from 'node:test';
import { pinnedVersions } from '../../scripts/find-envoy.ts';
import { envoyForTests } from '../support/envoy.ts';
import { Stage } from './stage.ts';
import { STEPS } from './steps.ts';
import { VARIANTS, type Variant } from './variants.ts';

/** Runs the steps and says what to write into their columns; those after a failure are not run. */
async function play(binary: string, variant: Variant): Promise<string[]> {
  const cells: string[] = [];
  const endings: (() => unknown)[] = [];
  const scope = { after: (ending: () => unknown) => void endings.push(ending) } as Pick<TestContext, 'after'>;
  try {
    const stage = await Stage.set(scope, binary, variant);
    for (const { run } of STEPS) {
      const begun = performance.now();
      await run(stage);
      cells.push(String(Math.round(performance.now() - begun)));
    }
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
    cells.push('failed');
  } finally {
    for (const ending of endings.reverse()) await ending();
  }
  return [...cells, ...STEPS.slice(cells.length).map(() => '–')];
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

const asked = process.argv.slice(2);
const rows: string[] = [];
for (const version of asked.length > 0 ? asked : await pinnedVersions()) {
  const found = await envoyForTests(version);
  if (found.skip !== false) {
    console.error(`Envoy ${version} is skipped: ${found.skip}`);
    continue;
  }
  for (const variant of VARIANTS) {
    console.error(`Envoy ${version} by ${variant.name}`);
    rows.push(row([version, variant.name, ...(await play(found.envoy.path, variant))]));
  }
}
console.log(row(['Envoy', 'asks by', ...STEPS.map(({ name }) => name)]));
console.log(row(['---', '---', ...STEPS.map(() => '---:')]));
for (const line of rows) console.log(line);
