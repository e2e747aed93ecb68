/** What the package exports: the client as ES module and as CommonJS, with types that a strict project accepts. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { call, entry, startAdmin } from '../admin/support.ts';
import { tempDir } from '../support/temp-dir.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** A project that has the package, as after `npm install`. */
function project(t: TestContext): string {
  const folder = tempDir(t);
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(ROOT, path.join(folder, 'node_modules/sidekey'));
  return folder;
}

const ASK = `
const client = connectAdmin({ socketPath: process.argv[2] });
const { entries } = await client.listEntries({ query: { limit: 10, selector: ['unix:uid:1000'] } });
const refused = await client.getEntry({ path: { id: 'a/b' } }).catch((error) => error);
console.log(JSON.stringify([entries.map(({ spiffe_id }) => spiffe_id), refused instanceof AdminError, refused.code]));
`;

const FORMS = {
  'ask.mjs': `import { AdminError, connectAdmin } from 'sidekey';${ASK}`,
  'ask.cjs': `const { AdminError, connectAdmin } = require('sidekey'); (async () => {${ASK}})();`,
};

for (const [name, code] of Object.entries(FORMS)) {
  test(`a program asks the admin API with it: ${name}`, async (t) => {
    const { socketPath } = await startAdmin(t);
    await call(socketPath, 'POST', '/v1/entries', { json: entry('web') });
    const file = path.join(project(t), name);
    writeFileSync(file, code);
    const { promise, resolve } = Promise.withResolvers<string>();
    execFile(process.execPath, [file, socketPath], (error, stdout, stderr) => resolve(error ? stderr : stdout));
    assert.deepEqual(JSON.parse(await promise), [['spiffe://ilinux.io/web'], true, 'ERR_NOT_FOUND']);
  });
}

const TYPED = `
import { type AdminError, connectAdmin, type Entry, type Problem } from 'sidekey';
const client = connectAdmin({ url: 'https://sidekey.example:8443', token: 't', ca: '' });
export async function first(): Promise<Entry | undefined> {
  const { entries } = await client.listEntries({ query: { limit: 1 } });
  return entries[0];
}
export const role: 'read' = 'read';
export const made = client.createToken({ body: { name: 'ci', role } });
export const codeOf = ({ problems }: AdminError): Problem['code'] | undefined => (problems.length > 0 ? 'ERR_BAD_INPUT' : undefined);
// @ts-expect-error no such role
client.createToken({ body: { name: 'ci', role: 'root' } });
// @ts-expect-error a path is needed
client.getEntry();
`;

for (const name of ['typed.mts', 'typed.cts']) {
  test(`its types are found and strict: ${name}`, (t) => {
    const folder = project(t);
    writeFileSync(path.join(folder, name), TYPED);
    const compilerOptions = {
      ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2022', lib: ['es2022'] },
      ...{ types: [], exactOptionalPropertyTypes: true, skipLibCheck: false },
    };
    writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [name] }));
    const tsc = path.join(ROOT, 'node_modules/.bin/tsc');
    const { status, stdout } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
}
