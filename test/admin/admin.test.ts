import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, startAdmin } from './support.ts';

test('requests that come before the application is loaded wait for it', async (t) => {
  const { admin, socketPath } = await startAdmin(t);
  const answers = await Promise.all([
    call(socketPath, 'GET', '/healthz'),
    call(socketPath, 'GET', '/v1/entries'),
    admin.load(),
    call(socketPath, 'POST', '/v1/entries', { json: { entries: 'none' } }),
    admin.load(),
  ]);
  assert.deepEqual(
    answers.map((answer) => answer?.status),
    [200, 200, undefined, 400, undefined],
  );
});

test('what nobody has asked closes like the rest', async (t) => {
  const { admin } = await startAdmin(t);
  await admin.close();
  assert.equal(admin.unix.listening, false);
  assert.equal(admin.tcp.listening, false);
});

test('a request is answered where the application can not be made, and the next one tries again', async (t) => {
  let mayBeMade = false;
  const explain = {
    get identities(): {
      bundle: () => never;
      federated: () => [];
      holders: () => 0;
      withheld: () => [];
      unrendered: () => [];
      render: () => never;
      lapsesOf: () => [];
      preview: () => Promise<{ callers: []; more: number; unread: number }>;
    } {
      if (!mayBeMade) throw new Error('there is no identity');
      return {
        bundle: () => assert.fail(),
        federated: () => [],
        holders: () => 0,
        withheld: () => [],
        unrendered: () => [],
        render: () => assert.fail(),
        lapsesOf: () => [],
        preview: async () => ({ callers: [], more: 0, unread: 0 }),
      };
    },
    inspect: () => Promise.reject(new Error('no attestors here')),
    mainPid: undefined,
    reach: () => ({ verdict: 'yes' as const, detail: '', fix: undefined, seenAs: undefined }),
  };
  const { socketPath } = await startAdmin(t, { explain });
  const { status, body } = await call(socketPath, 'GET', '/healthz');
  assert.equal(status, 500);
  assert.equal(body.code, 'ERR_INTERNAL');
  mayBeMade = true;
  assert.equal((await call(socketPath, 'GET', '/healthz')).status, 200, 'it is tried again');
});
