/** examples/postgres as a user runs it, with a real PostgreSQL and real Envoys. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { findPostgres } from '../../examples/postgres/database.ts';
import { envoyForTests } from '../support/envoy.ts';
import { ROOT } from '../support/serve.ts';

const found = await envoyForTests();
const skip =
  found.skip !== false ? found.skip : findPostgres() === undefined ? 'no PostgreSQL (package postgresql)' : false;

const STEPS = [
  'the client gets the customers',
  'PostgreSQL takes up a new certificate',
  'another DNS name is another user: 500',
  'the former DNS name: 200',
  "another selector: 503 once the Envoy's SVID has ended",
  'the former selector: 200',
];

test('a client gets rows of a PostgreSQL through two Envoys and an API, as long as the entries allow it', {
  skip,
  timeout: 120_000,
}, async (t) => {
  assert.ok(found.skip === false);
  // Not in a folder of the test's own: PostgreSQL's user could not reach it.
  const child = spawn(path.join(ROOT, 'scripts/node'), [path.join(ROOT, 'examples/postgres/main.ts'), '--check'], {
    env: { ...process.env, ENVOY: found.envoy.path, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, 0, output);
  for (const step of STEPS) assert.ok(output.includes(`✓ ${step}`), `${step}\n${output}`);
  const [, folder] = /\((\S+sidekey-postgres-\w+)\)/.exec(output)!;
  assert.ok(!readdirSync(tmpdir()).includes(path.basename(folder!)), 'nothing is left');
});
