/**
 * Makes what bin/sidekey runs: bundles start in half the time of the sources and need a third less memory. Then they are
 * tried out, and the code that V8 makes of them is kept: src/cli/launch.ts. Where that can't be done, a start takes longer,
 * and the next build tries again.
 */

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { clientTypes } from './client-types.ts';
import { writeEntriesSchema } from './entries-schema.ts';
import { launcherWith } from './launcher-with.ts';
import { pageFiles } from './page.ts';

const root = path.dirname(import.meta.dirname);
const dist = path.join(root, 'dist');

/**
 * A bundle is read whole before any of it runs, so a client's command gets one without the server and without grpc-js.
 * The server reads all that it may load later when it starts: one that runs while a new one is built misses nothing.
 * sidekey.cjs, which requires the others, comes last.
 */
const BUNDLES: Readonly<Record<string, string>> = {
  'serve.cjs': 'src/cli/serve.ts',
  'yaml-worker.cjs': 'src/entries-file/yaml-worker.ts',
  'pipe-client.cjs': 'src/cli/pipe-client.ts',
  'backup-run.cjs': 'src/cli/backup-run.ts',
  'files-run.cjs': 'src/cli/files-run.ts',
  'copy-worker.cjs': 'src/registry/sqlite/copy-worker.ts',
  'cli.cjs': 'src/cli/main.ts',
  'sidekey.cjs': 'src/cli/launch.ts',
};

/** Those that src/cli/launch.ts takes with their code. */
const COMPILED = ['serve.cjs', 'pipe-client.cjs', 'cli.cjs'];

const COMMANDS = [
  ['healthcheck'],
  ['entry', 'create', '--entry-id', 'made', '--spiffe-id', 'spiffe://build.invalid/made', '--selector', 'unix:uid:1'],
  ['entry', 'delete', 'made'],
  ['entry', 'list'],
  ['proxies'],
  ['bundle', 'show'],
  ['explain', '--pid', String(process.pid)],
  ['doctor'],
];

/** A server that is not done by then, in milliseconds, does not get there. */
const SERVE_TIMEOUT_MS = 60_000;

/** What has a bundle of its own is required from there. */
const apart: Plugin = {
  name: 'apart',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/(serve|pipe-client|backup-run|files-run)\.ts$/ }, ({ path: source }) => ({
      path: source.replace(/ts$/, 'cjs'),
      external: true,
    }));
  },
};

/** The catalog of attestors names how each is loaded, which the server alone does. */
const withoutAttestors: Plugin = {
  name: 'without-attestors',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/attestor\.ts$/ }, ({ path }) => ({ path, external: true }));
  },
};

const options: BuildOptions = {
  bundle: true,
  platform: 'node',
  // An ES module would read every export of node:http at start, WebSocket with all that it loads among them, and would
  // load native packages before anything runs; CommonJS takes each thing when it is first used.
  format: 'cjs',
  target: 'node24',
  // Calls of require, which are done sooner; the code in question is in the bundle or in another beside it.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
  sourcemap: false,
  minifySyntax: true,
  minifyWhitespace: true,
  // Where a package has ES modules too, they are taken: esbuild joins them without a wrapper around each and leaves out
  // what nothing uses. @peculiar/x509 comes in some two hundred.
  mainFields: ['module', 'main'],
  legalComments: 'none',
  logLevel: 'warning',
  // They load their own native code by path.
  external: ['better-sqlite3', 'koffi'],
};

/** What `made` holds of the code that is kept: whether it goes with the bundles, and with the Node that made it. */
const made = path.join(dist, 'made');

writeEntriesSchema(root);
mkdirSync(dist, { recursive: true });
const built: { readonly file: string; readonly text: Uint8Array }[] = [];
for (const [name, source] of Object.entries(BUNDLES)) {
  const file = path.join(dist, name);
  const { outputFiles } = await build({
    ...options,
    entryPoints: [path.join(root, source)],
    outfile: file,
    write: false,
    plugins: name === 'serve.cjs' ? [apart] : [apart, withoutAttestors],
  });
  checkNames(outputFiles[0]!.text);
  built.push({ file, text: outputFiles[0]!.contents });
}
built.push(...(await clientPackage()));
const page = path.join(dist, 'page');
const ofPage = (await pageFiles(root)).map(({ name, content }) => ({ file: path.join(page, name), text: content }));
mkdirSync(path.join(page, 'assets'), { recursive: true });
for (const { file, text } of [...built, ...ofPage]) {
  if (!existsSync(file) || !readFileSync(file).equals(text)) put(file, text);
}
removeOldAssets();
if (!existsSync(made) || readFileSync(made, 'utf8') !== fingerprint()) {
  try {
    rmSync(path.join(dist, 'cache'), { recursive: true, force: true });
    await tryOut();
    const now = fingerprint();
    if (now === undefined) throw new Error('a bundle left no code behind');
    put(made, now);
  } catch (thrown) {
    console.warn(`build: starts take longer than they need to, since bundles could not be tried out: ${thrown}`);
  }
}

/** The names of assets change with their content. Drafts of a build that runs at the same time are its own. */
function removeOldAssets(): void {
  const kept = new Set(ofPage.map(({ file }) => file));
  for (const name of readdirSync(path.join(page, 'assets'))) {
    const file = path.join(page, 'assets', name);
    if (/\.(br|gz)$/.test(name) && !kept.has(file)) rmSync(file, { force: true });
  }
}

/** What package.json exports: the client of the admin API as an ES module and as CommonJS, with its types. */
async function clientPackage(): Promise<typeof built> {
  const types = Buffer.from(clientTypes(root));
  const bundle = async (name: string, format: 'esm' | 'cjs') => {
    const file = path.join(dist, name);
    const { outputFiles } = await build({
      bundle: true,
      platform: 'node',
      target: 'node20',
      format,
      entryPoints: [path.join(root, 'src/client/package.ts')],
      outfile: file,
      write: false,
      logLevel: 'warning',
    });
    return { file, text: outputFiles[0]!.contents };
  };
  return [
    await bundle('client.mjs', 'esm'),
    await bundle('client.cjs', 'cjs'),
    { file: path.join(dist, 'client.d.mts'), text: types },
    { file: path.join(dist, 'client.d.cts'), text: types },
  ];
}

/**
 * asn1-schema asks for a class of asn1js by its name, and a bundle renames one of two that have the same, and one that names
 * itself. To keep all names would do too, but takes a microsecond of each function that is made, a closure for each stream
 * among them.
 */
function checkNames(bundle: string): void {
  const renamed = /\b(_Sequence|Sequence\d+)\b/.exec(bundle);
  if (renamed !== null) throw new Error(`asn1js's class Sequence must keep its name, and a class is now ${renamed[0]}`);
}

/** Puts a file into its place in one step; other builds may run. */
function put(file: string, content: Uint8Array | string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, content);
  renameSync(draft, file);
}

/** Of all that the code depends on, and of the code; nothing where some of it is missing. */
function fingerprint(): string | undefined {
  const hash = createHash('sha256').update(`${process.version} ${process.arch}`);
  const bundles = COMPILED.flatMap((name) => [path.join(dist, name), path.join(dist, `${name}.code`)]);
  for (const file of [path.join(root, 'bin/sidekey'), ...bundles]) {
    if (!existsSync(file)) return undefined;
    hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

/**
 * Starts a server twice, on an empty directory and on what is there then, and asks it. What goes wrong here costs some
 * speed; whoever starts it in earnest is told.
 */
async function tryOut(): Promise<void> {
  const place = mkdtempSync(path.join(tmpdir(), 'sidekey-build-'));
  // It leaves the code of a bundle behind.
  const recorder = path.join(import.meta.dirname, 'record-code.cjs');
  const sidekey = launcherWith(root, place, [`--require=${recorder}`]);
  const [dataDir, socket, entries] = ['data', 'run/agent.sock', 'entries.yaml'].map((name) =>
    path.join(place, name),
  ) as [string, string, string];
  const adminSocket = path.join(dataDir, 'admin.sock');
  writeFileSync(
    entries,
    `entries:\n- spiffe_id: spiffe://build.invalid/warm\n  selectors: ["unix:uid:${process.getuid!()}"]\n`,
  );
  const flags = ['--data-dir', dataDir, '--socket', socket];
  const serve = ['serve', '--trust-domain', 'build.invalid', '--entries', entries, ...flags];
  const ask = (bundle: string, ...args: string[]) => {
    spawnSync(sidekey, args, { env: recording(bundle), stdio: 'ignore', timeout: 10_000 });
  };
  const serving = async (whileServing: () => void) => {
    const server = spawn(sidekey, serve, { env: recording('serve.cjs'), stdio: ['ignore', 'pipe', 'ignore'] });
    const late = setTimeout(() => server.kill('SIGKILL'), SERVE_TIMEOUT_MS);
    const ended = new Promise<void>((resolve) => server.once('error', () => resolve()).once('close', () => resolve()));
    for await (const line of createInterface(server.stdout)) if (line.includes('"msg":"serving"')) break;
    whileServing();
    server.kill();
    await ended;
    clearTimeout(late);
  };
  try {
    await serving(() => ask('pipe-client.cjs', 'fetch', '--socket', socket));
    await serving(() => {
      ask('cli.cjs', 'fetch', '--socket', socket);
      for (const command of COMMANDS) ask('cli.cjs', ...command, '--admin-socket', adminSocket);
      // It is refused, which is as good here: the flags have been read by then.
      ask('cli.cjs', 'serve');
    });
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The environment, with the bundle whose code is to be left behind, without settings: they are for another server. */
function recording(bundle: string): NodeJS.ProcessEnv {
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SIDEKEY_'))),
    RECORD: bundle,
  };
}
