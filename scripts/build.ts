/**
 * Makes what bin/sidekey runs: bundles start in half the time of the sources and need a third less memory. Then they are
 * run once, since Node keeps compiled code when a process ends: the first start of a user is as fast as the next.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const root = path.dirname(import.meta.dirname);
const dist = path.join(root, 'dist');

/**
 * A bundle is read whole before any of it runs, so a client's command gets one without the server and without grpc-js.
 * The server is one file, with all that it may load later: one that runs while a new one is built misses nothing.
 * sidekey.cjs, which requires the others, comes last.
 */
const BUNDLES: Readonly<Record<string, string>> = {
  'serve.cjs': 'src/cli/serve.ts',
  'sds-client.cjs': 'src/cli/sds-client.ts',
  'sidekey.cjs': 'src/cli/main.ts',
};

/** What has a bundle of its own is required from there. */
const apart: Plugin = {
  name: 'apart',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/(serve|sds-client)\.ts$/ }, ({ path: source }) => ({
      path: source.replace(/ts$/, 'cjs'),
      external: true,
    }));
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
  sourcemap: false,
  minifySyntax: true,
  minifyWhitespace: true,
  // Where a package has ES modules too, they are taken: esbuild joins them without a wrapper around each and leaves out
  // what nothing uses. @peculiar/x509 comes in some two hundred.
  mainFields: ['module', 'main'],
  // asn1-schema asks for a class by its name.
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
  // They load their own native code by path.
  external: ['better-sqlite3', 'koffi'],
};

const changed: boolean[] = [];
for (const [name, source] of Object.entries(BUNDLES)) {
  const outfile = path.join(dist, name);
  await build({ ...options, entryPoints: [path.join(root, source)], outfile: `${outfile}.new`, plugins: [apart] });
  changed.push(!existsSync(outfile) || !readFileSync(outfile).equals(readFileSync(`${outfile}.new`)));
}
for (const name of Object.keys(BUNDLES)) renameSync(path.join(dist, `${name}.new`), path.join(dist, name));
if (changed.includes(true)) {
  rmSync(path.join(dist, 'cache'), { recursive: true, force: true });
  await warmUp(path.join(root, 'bin/sidekey'));
}

/** Serves an entry and fetches it. What goes wrong here costs some speed; whoever starts it in earnest is told. */
async function warmUp(sidekey: string): Promise<void> {
  const place = mkdtempSync(path.join(tmpdir(), 'sidekey-build-'));
  const [socket, adminSocket, entries] = ['agent.sock', 'admin.sock', 'entries.yaml'].map((name) =>
    path.join(place, name),
  );
  const selectors = [`unix:uid:${process.getuid!()}`];
  writeFileSync(entries!, JSON.stringify({ entries: [{ spiffe_id: 'spiffe://build.invalid/warm', selectors }] }));
  const args = ['--data-dir', path.join(place, 'data'), '--socket', socket!, '--admin-socket', adminSocket!];
  const server = spawn(sidekey, ['serve', '--trust-domain', 'build.invalid', '--entries', entries!, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(server, 'close');
  try {
    for await (const line of createInterface(server.stdout)) if (line.includes('"msg":"serving"')) break;
    // The first to end is the one whose compiled code of sidekey.cjs is kept.
    execFileSync(sidekey, ['entry', 'list', '--admin-socket', adminSocket!], { stdio: 'ignore' });
    execFileSync(sidekey, ['fetch', '--socket', socket!], { stdio: 'ignore' });
  } catch {
  } finally {
    server.kill();
    await ended;
    rmSync(place, { recursive: true, force: true });
  }
}
