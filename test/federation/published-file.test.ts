/** The file with the published bundle. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { PublishedFile } from '../../src/federation/endpoint/published-file.ts';
import { PublishingCounts } from '../../src/federation/endpoint/state.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { MINUTE, openTestAuthority, SECOND } from '../ca/support.ts';
import { JWT } from '../jwt/support.ts';
import { tempDir } from '../support/temp-dir.ts';

async function open(t: TestContext, make: (folder: string) => void = () => undefined) {
  const authority = await openTestAuthority(t, { jwt: JWT });
  const { ca, clock, log } = authority;
  const folder = path.join(tempDir(t), 'public');
  mkdirSync(folder, { mode: 0o755 });
  make(folder);
  const file = path.join(folder, 'bundle.json');
  const counts = new PublishingCounts();
  const options = { file, ca, counts, clock, log };
  const published = PublishedFile.open(options);
  t.after(() => published.close());
  const present = () => assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), bundleDocument(ca.bundle()));
  return { ...authority, file, folder, published, counts, present, options };
}

test('has the present document, from the start on and after each change, readable for everybody', async (t) => {
  const { ca, file, present, published, counts, options } = await open(t);
  present();
  assert.equal(statSync(file).mode & 0o777, 0o644);
  await ca.rotate('root');
  present();
  assert.equal(published.state.sequence, ca.bundle().documentNumber);
  await ca.taint((await ca.jwtSigner()).keyId);
  present();
  const writes = counts.writes.get('ok');
  const again = PublishedFile.open(options);
  again.close();
  assert.equal(counts.writes.get('ok'), writes, 'an equal file is not written again');
});

test('is written again when somebody else has changed or removed it', async (t) => {
  const { clock, file, present, lines } = await open(t);
  for (const spoil of [() => writeFileSync(file, '{"keys":[]}'), () => rmSync(file)]) {
    spoil();
    clock.advance(MINUTE);
    present();
  }
  const told = lines().filter(({ msg }) => /changed or removed by somebody else/.test(msg));
  assert.equal(told.length, 2);
});

test('follows no link, and waits for no FIFO, in its place', async (t) => {
  const { present, file, folder } = await open(t, (inside) => {
    writeFileSync(path.join(inside, 'other'), 'untouched');
    symlinkSync('other', path.join(inside, 'bundle.json'));
    symlinkSync('other', path.join(inside, 'bundle.json.new'));
  });
  present();
  assert.equal(readFileSync(path.join(folder, 'other'), 'utf8'), 'untouched');
  assert.ok(statSync(file).isFile());
});

test('that cannot be written stops a start, and later is tried again, with the reason in the state', async (t) => {
  const { ca, clock, folder, published, counts, present, options, file } = await open(t);
  assert.throws(() => PublishedFile.open({ ...options, file: path.join(folder, 'no', 'bundle.json') }), {
    code: 'ERR_CONFIG',
    message: /^--federation-publish-file: .*no\/bundle\.json cannot be written: ENOENT/,
  });
  rmSync(folder, { recursive: true });
  await ca.rotate('root');
  assert.match(published.state.problem!, /ENOENT/);
  assert.equal(counts.writes.get('failed'), 1);
  mkdirSync(folder, { mode: 0o755 });
  assert.ok(!existsSync(file));
  clock.advance(SECOND);
  present();
  assert.equal(published.state.problem, undefined);
});

test('that others can change is told', async (t) => {
  const { published, lines } = await open(t, (folder) => chmodSync(folder, 0o777));
  assert.match(published.state.openTo.join(), /public/);
  assert.ok(lines().some(({ msg }) => /other users can change the published bundle/.test(msg)));
});
