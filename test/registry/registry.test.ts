import assert from 'node:assert/strict';
import { test } from 'node:test';
import { input, open } from './support.ts';

test('an entry that was made is found, matched and still there after a restart', async (t) => {
  const first = await open(t);
  const [made] = await first.registry.create([input('front-envoy', ['unix:uid:1', 'unix:gid:2'])], 'api');
  assert.deepEqual(first.registry.match(new Set(['unix:uid:1', 'unix:gid:2', 'unix:user:x'])), [made]);
  assert.deepEqual(first.registry.match(new Set(['unix:uid:1'])), []);
  await first.registry.close();
  await first.store.close();
  const second = await open(t, { file: first.file });
  assert.deepEqual(second.registry.get(made!.id), made);
  assert.deepEqual(second.registry.match(new Set(['unix:uid:1', 'unix:gid:2'])), [made]);
});
