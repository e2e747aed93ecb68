/** `serve --check`: says what a start would do, and changes nothing on disk. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { until } from '../support/process-state.ts';
import { SdsClient } from '../support/sds-client.ts';
import { makePlace, type Place, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';

const UID = process.getuid!();
const declared = (...names: string[]) =>
  `entries:\n${names.map((name) => `- {spiffe_id: "spiffe://${TRUST_DOMAIN}/${name}", selectors: ["unix:uid:${UID}"]}\n`).join('')}`;

const entryOf = (name: string) => ({ spiffe_id: `spiffe://${TRUST_DOMAIN}/${name}`, selectors: [`unix:uid:${UID}`] });

function writeEntries(place: Place, text: string): string {
  const file = path.join(place.directory, 'entries.yaml');
  writeFileSync(file, text);
  return file;
}

const check = (place: Place, flags: readonly string[] = []) => start(place, ['--check', ...flags]);

async function start(place: Place, flags: readonly string[] = []) {
  const child = spawnServe(place, flags);
  const said = { out: '', err: '' };
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...said };
}

/** Everything below a directory, with its mode, time and content. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((item) => path.join(item.parentPath, item.name))
    .sort()
    .map((file) => {
      const { mode, mtimeMs, ino } = lstatSync(file);
      const isFile = lstatSync(file).isFile();
      return [file, mode, mtimeMs, ino, isFile ? readFileSync(file).toString('base64') : ''].join(' ');
    });
}

describe('serve --check', { timeout: 240_000, concurrency: 2 }, () => {
  it('says what a first start would make, and makes nothing', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, declared('a', 'b'));
    const before = snapshot(place.directory);
    const { code, out, err } = await check(place, ['--entries', file]);
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.match(out, new RegExp(`the data directory ${place.dataDir} would be created\n`));
    assert.match(out, /a new root and intermediate would be created\n/);
    assert.match(
      out,
      /entries\.yaml: entries created: 2, changed: 0, deleted: 0, kept: 0\n {2}\+ spiffe:\/\/ilinux\.io\/a\n/,
    );
    assert.match(out, /a start with these settings would work\n$/);
    assert.deepEqual(snapshot(place.directory), before);
  });

  it('compares the file with what is stored, after a stop, a crash, and while a server runs', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, declared('a', 'b'));
    const flags = ['--entries', file];
    const first = await serve(t, { place, flags });
    writeFileSync(file, declared('b', 'c').replace('}', ', hint: x}'));
    const isRight = ({ code, out, err }: Awaited<ReturnType<typeof check>>) => {
      assert.equal(code, 0, err);
      assert.match(
        out,
        /created: 1, changed: 1, deleted: 1, kept: 0\n {2}\+ \S+\/c\n {2}~ \S+\/b \(\S+\)\n {2}- \S+\/a \(\S+\)\n/,
      );
    };
    const running = await check(place, flags);
    isRight(running);
    assert.match(running.out, /a server uses \S+: this check compares with its entries as they are now\n/);
    assert.match(running.out, /a restart with these settings would work\n$/);
    assert.doesNotMatch(running.out, /stop it|a start with/);
    await first.stop('SIGKILL');
    const crashed = snapshot(place.dataDir);
    isRight(await check(place, flags));
    assert.deepEqual(snapshot(place.dataDir), crashed);
    writeFileSync(file, declared('a', 'b'));
    await (await serve(t, { place, flags })).stop();
    writeFileSync(file, declared('b', 'c').replace('}', ', hint: x}'));
    const stopped = snapshot(place.dataDir);
    isRight(await check(place, flags));
    assert.deepEqual(snapshot(place.dataDir), stopped);
  });

  it('tells all faults of a start at once, with status 1', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, 'entries:\n- spiffe_id: nonsense\n');
    mkdirSync(path.dirname(place.socket), { recursive: true });
    chmodSync(path.dirname(place.socket), 0o777);
    chmodSync(path.join(place.dataDir, 'sidekey.db'), 0o644);
    const { code, err } = await check(place, ['--entries', file]);
    assert.equal(code, 1);
    assert.match(err, /entries\.yaml:2 \/entries\/0\/spiffe_id: .*\(ERR_CONFIG\)/);
    assert.match(err, /the data directory \S+ is not closed to others/);
    assert.match(err, /\(ERR_SOCKET\)/);
    assert.match(err, /sidekey: a start with these settings would fail\n$/);
    const bad = await check(place, ['--x509-svid-ttl', 'x', '--log-level', 'loud']);
    assert.equal(bad.code, 1);
    assert.match(bad.err, /--x509-svid-ttl: .*\n.*--log-level: /);
    const other = await check(place, [
      '--trust-domain',
      'other.example',
      '--data-dir',
      path.join(place.directory, 'none'),
    ]);
    assert.equal(other.code, 1, other.out);
    chmodSync(path.join(place.dataDir, 'sidekey.db'), 0o600);
    chmodSync(path.dirname(place.socket), 0o755);
    const foreign = await check(place, ['--trust-domain', 'other.example']);
    assert.equal(foreign.code, 1);
    assert.match(foreign.err, new RegExp(`${place.dataDir}/sidekey\\.db belongs to the trust domain ${TRUST_DOMAIN}`));
  });

  it('says the same of a half data directory as a start', async (t) => {
    const place = makePlace(t);
    const client = await serve(t, { place, flags: ['--entries', writeEntries(place, declared('a'))] });
    const sds = new SdsClient(client.socket);
    t.after(() => sds.close());
    const stream = sds.stream();
    stream.ask(`spiffe://${TRUST_DOMAIN}/a`);
    await stream.next();
    await client.request('PUT', '/v1/entries', { source: 'file', entries: [] });
    await client.stop();
    const [ca, database] = [path.join(place.dataDir, 'ca'), path.join(place.dataDir, 'sidekey.db')];
    const away = path.join(place.directory, 'away');
    for (const half of [ca, database]) {
      renameSync(half, away);
      const checked = await check(place);
      const started = await start(place);
      assert.deepEqual([checked.code, started.code], [1, 1], half);
      const [told] = started.err.split('\n');
      assert.match(told!, /Restore both from the same backup, or start once with --new-root/);
      assert.ok(checked.err.includes(told!.replace(/^sidekey: /, '')), checked.err);
      renameSync(away, half);
    }
    renameSync(ca, away);
    const anew = await check(place, ['--new-root']);
    assert.equal(anew.code, 0, anew.err);
    assert.match(anew.out, /^warn +the authorities are missing: creating a new root because of --new-root/m);
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`removes its private copy on ${signal}`, async (t) => {
      const place = makePlace(t);
      const tmp = path.join(place.directory, 'tmp');
      mkdirSync(tmp);
      const names = Array.from({ length: 20_000 }, (_, n) => String(n));
      const flags = ['--check', '--entries', writeEntries(place, JSON.stringify({ entries: names.map(entryOf) }))];
      const child = spawnServe(place, flags, { TMPDIR: tmp });
      for (const stream of [child.stdout!, child.stderr!]) stream.resume();
      const ended = once(child, 'close');
      await until(() => readdirSync(tmp).length > 0 || child.exitCode !== null);
      child.kill(signal);
      await ended;
      assert.deepEqual(readdirSync(tmp), []);
    });
  }

  it('has the warnings of a start, and the half that is missing', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, declared('a').replace(`unix:uid:${UID}`, 'docker:label:a:b'));
    chmodSync(file, 0o666);
    const { code, out } = await check(place, ['--entries', file, '--ca-ttl', '1h', '--x509-svid-ttl', '45m']);
    assert.equal(code, 0);
    assert.match(out, /^warn +other users can change this file/m);
    assert.match(out, /^warn +the configured SVID TTL is more than half of --ca-ttl/m);
    assert.match(out, /^warn +an entry is probably a mistake .*entries\.yaml:2 \/entries\/0\/selectors/m);
    assert.ok(!existsSync(place.dataDir));
  });

  it('names the entries whose programs are missing, unless their callers may be in containers', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    const of = (program: string, more = '') =>
      declared(program).replace(`"unix:uid:${UID}"`, `"unix:uid:${UID}", "unix:path:/opt/${program}"${more}`);
    writeFileSync(file, `${of('missing')}${of('boxed', ', "docker:label:a:b"').replace(/^entries:\n/, '')}`);
    const { code, out } = await check(place, ['--entries', file]);
    assert.equal(code, 0);
    assert.match(out, /entries\.yaml:2 .*no caller has unix:path:\/opt\/missing: this machine has no such file/);
    assert.doesNotMatch(out, /opt\/boxed/);
  });
});
