/** Declared entries against a real server: what a dry run says of running callers, and files that the server follows. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endAfter } from '../support/caller.ts';
import { SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const UID = process.getuid!();
const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
const entry = (name: string, more: Record<string, unknown> = {}) => ({
  spiffe_id: idOf(name),
  selectors: [`unix:uid:${UID}`],
  ...more,
});
const declared = (...names: string[]) => JSON.stringify({ entries: names.map((name) => entry(name)) });

async function names(server: Served): Promise<string[]> {
  const { body } = await server.request('GET', '/v1/entries');
  return body.entries.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id.split('/').at(-1)).sort();
}

/** A stream of this process that waits for `name`, which makes it a caller that was attested. */
async function caller(t: TestContext, server: Served, name: string) {
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  const stream = client.stream();
  stream.ask(idOf(name));
  await server.logged('name held');
  return stream;
}

describe('a dry run', { timeout: 120_000, concurrency: 2 }, () => {
  it('says which running callers would gain, lose or change an identity, and changes nothing', async (t) => {
    const server = await serve(t);
    const put = async (entries: readonly unknown[], query = '') => {
      const answer = await server.request('PUT', `/v1/entries${query}`, { source: 'ci', entries });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body;
    };
    await put([entry('a', { hint: 'default' }), entry('b'), entry('other', { selectors: ['unix:uid:4000000000'] })]);
    await caller(t, server, 'held');
    const wanted = [
      entry('b', { dns_names: ['b.example'] }),
      entry('c'),
      entry('d', { expires_at: 1 }),
      entry('e', { selectors: [`unix:uid:${UID}`, `unix:sha256:${'0'.repeat(64)}`] }),
      entry('f', { selectors: [`unix:uid:${UID}`, `unix:supplementary_gid:4000000000`] }),
    ];
    const { effects, created } = await put(wanted, '?dry_run=true');
    assert.equal(created.length, 4);
    assert.deepEqual([effects.more, effects.unread, effects.callers.length], [0, 0, 1]);
    const [{ gained, lost, changed, default: byDefault, may_gain: mayGain, ...who }] = effects.callers;
    assert.deepEqual([who.pid, who.uid, who.connections], [process.pid, UID, 1]);
    assert.deepEqual([gained, lost, changed], [[idOf('c')], [idOf('a')], [idOf('b')]]);
    assert.deepEqual(byDefault, { before: idOf('a'), after: idOf('b') });
    // Whether its program has this hash was not read; its groups were.
    assert.deepEqual(mayGain, [idOf('e')]);
    assert.deepEqual(await names(server), ['a', 'b', 'other']);
    // What was predicted happens.
    await put(wanted);
    const { body } = await server.request('GET', `/v1/explain?pid=${process.pid}`);
    assert.deepEqual(body.identities.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id).sort(), [
      idOf('b'),
      idOf('c'),
    ]);
    const same = await put(wanted, '?dry_run=true');
    assert.deepEqual(same.effects, { callers: [], more: 0, unread: 0 });
  });

  it('predicts facts that are kept only if an entry asks for them', async (t) => {
    if (UID !== 0) return t.skip('only root may give a process another group');
    const server = await serve(t);
    const program = path.join(import.meta.dirname, '../support/asking-program.ts');
    const args = ['--groups', '4242', process.execPath, program, server.socket, idOf('held')];
    const child = spawn('setpriv', args, { stdio: 'ignore' });
    endAfter(t, child);
    await server.logged('name held');
    const preview = async (group: number) => {
      const entries = [entry('a', { selectors: [`unix:supplementary_gid:${group}`] })];
      const { body } = await server.request('PUT', '/v1/entries?dry_run=true', { source: 'ci', entries });
      return body.effects.callers.map(({ pid, gained }: { pid: number; gained: string[] }) => [pid, gained]);
    };
    assert.deepEqual(await preview(4242), [[child.pid, [idOf('a')]]]);
    assert.deepEqual(await preview(4243), []);
  });
});

describe('--watch-entries', { timeout: 120_000, concurrency: 2 }, () => {
  async function start(t: TestContext, more: readonly string[] = []) {
    const place = makePlace(t);
    const folder = path.join(place.directory, 'entries');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'a.json'), declared('a'));
    const server = await serve(t, { place, flags: ['--entries', folder, '--watch-entries', ...more] });
    const until = async (...wanted: string[]) => {
      while (JSON.stringify(await names(server)) !== JSON.stringify(wanted)) await sleep(20);
    };
    const logs = async (like: RegExp) => {
      const isLike = (line: unknown) => like.test(JSON.stringify(line));
      while (!server.log.some(isLike)) await sleep(20);
    };
    return { folder, server, until, logs, place };
  }

  it('applies files that come, change and go, and a waiting caller gets its secret', async (t) => {
    const { folder, server, until } = await start(t);
    const stream = await caller(t, server, 'b');
    writeFileSync(path.join(folder, 'b.yaml'), `entries:\n- ${JSON.stringify(entry('b'))}\n`);
    assert.ok(secretOf(await stream.next(), idOf('b')));
    writeFileSync(path.join(folder, 'a.json.new'), declared('c'));
    renameSync(path.join(folder, 'a.json.new'), path.join(folder, 'a.json'));
    await until('b', 'c');
    rmSync(path.join(folder, 'a.json'));
    await until('b');
    const { body } = await server.request('GET', '/v1/entries');
    assert.equal(body.entries[0].source, 'file');
  });

  it('keeps the last good state for a bad file, an empty and a missing folder, and says so', async (t) => {
    const { folder, server, until, logs } = await start(t);
    const bad = path.join(folder, 'b.yaml');
    const keeps = 'the entries file was not reloaded: all entries stay as they are';
    writeFileSync(bad, `entries:\n- spiffe_id: ${idOf('b')}\n  selectors: ["unix:usr:1"]\n`);
    await logs(/b\.yaml:3 \/entries\/0\/selectors\/0: \\"usr\\" is not a kind .*did you mean user\?/);
    writeFileSync(bad, `entries:\n- ${JSON.stringify(entry('a'))}\n`);
    await logs(/b\.yaml:2 \/entries\/0: it is the same as the entry in .*a\.json on line 1/);
    rmSync(bad);
    rmSync(path.join(folder, 'a.json'));
    await logs(/it has no file of entries/);
    rmSync(folder, { recursive: true });
    await logs(/entries: it can't be read: ENOENT/);
    assert.deepEqual(await names(server), ['a']);
    assert.ok(server.log.some(({ msg, level }) => msg === keeps && level === 'error'));
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'z.json'), declared('z'));
    await until('z');
  });

  it('follows the links of a mounted ConfigMap, whose files change together', async (t) => {
    const { folder, until } = await start(t);
    for (const [version, ...of] of [
      ['..1', 'b', 'c'],
      ['..2', 'd', 'e'],
    ] as const) {
      mkdirSync(path.join(folder, version));
      for (const [at, name] of of.entries()) writeFileSync(path.join(folder, version, `${at}.json`), declared(name));
    }
    symlinkSync('..1', path.join(folder, '..data'));
    for (const at of [0, 1]) symlinkSync(`..data/${at}.json`, path.join(folder, `${at}.json`));
    await until('a', 'b', 'c');
    symlinkSync('..2', path.join(folder, '..data_tmp'));
    renameSync(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
    await until('a', 'd', 'e');
  });

  it('is off by default: SIGHUP reads the folder', async (t) => {
    const { folder, server, until } = await start(t, ['--watch-entries=false']);
    writeFileSync(path.join(folder, 'b.json'), declared('b'));
    assert.deepEqual(await names(server), ['a']);
    process.kill(server.pid, 'SIGHUP');
    await until('a', 'b');
    assert.equal(server.log.filter(({ msg }) => msg === 'entries file applied').length, 2);
  });

  it('keeps serving while it parses long YAML', async (t) => {
    const { folder, server, logs } = await start(t);
    writeFileSync(path.join(folder, 'b.yaml'), `entries:\n${'{'.repeat(2_000_000)}`);
    const took: number[] = [];
    const done = logs(/b\.yaml:\d+: /);
    let reading = true;
    void done.finally(() => {
      reading = false;
    });
    while (reading) {
      const begun = performance.now();
      await server.request('GET', '/healthz');
      took.push(performance.now() - begun);
      await sleep(10);
    }
    // Read in one piece, it would stop all requests but the first until the end.
    assert.ok(took.length > 5, `answers meanwhile: ${took.join(', ')} ms`);
  });
});
