/** What a command of the built bundles loads, by running it with a probe in it. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { launcherWith } from '../../scripts/launcher-with.ts';
import { tempDir } from './temp-dir.ts';

export interface Loaded {
  readonly stdout: string;
  /** The bundles that src/cli/launch.ts ran, in order, and what became of the code that was kept of each. */
  readonly bundles: readonly { readonly name: string; readonly code: 'taken' | 'refused' | 'none' }[];
  /** Names of other files that were loaded, native ones among them. */
  readonly files: readonly string[];
  /** Node's own modules. */
  readonly modules: readonly string[];
}

const PROBE = `
const vm = require('node:vm');
const path = require('node:path');
const bundles = [];
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    const code = options.cachedData === undefined ? 'none' : this.cachedDataRejected ? 'refused' : 'taken';
    bundles.push({ name: path.basename(options.filename), code });
  }
};
process.on('exit', () => {
  const files = Object.keys(require.cache).filter((file) => file !== __filename).map((file) => path.basename(file));
  const modules = process.moduleLoadList.filter((name) => name.startsWith('NativeModule ')).map((name) => name.slice(13));
  require('node:fs').writeFileSync(process.env.REPORT, JSON.stringify({ bundles, files, modules }));
});
`;

/** Runs a command of the installation at `root` to its end. */
export function loadedBy(t: TestContext, root: string, args: readonly string[]): Loaded {
  const folder = tempDir(t);
  const [probe, report] = [path.join(folder, 'probe.cjs'), path.join(folder, 'report.json')];
  writeFileSync(probe, PROBE);
  const env = { ...process.env, REPORT: report };
  const launcher = launcherWith(root, tempDir(t), [`--require=${probe}`]);
  const { stdout } = spawnSync(launcher, args, { env, encoding: 'utf8' });
  return { stdout, ...JSON.parse(readFileSync(report, 'utf8')) };
}
