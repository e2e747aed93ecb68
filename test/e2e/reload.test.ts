/** SIGHUP: the entries file and the admin token are read again, with the checks of a start, and a fault changes nothing. */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from '../../src/base/finding.ts';
import { connectAdmin } from '../../src/client/client.ts';
import { sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { until } from '../support/process-state.ts';
import { SdsClient, secretOf } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const UID = process.getuid!();
const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
const declared = (...names: string[]) =>
  `entries:\n${names.map((name) => `- {spiffe_id: "${idOf(name)}", selectors: ["unix:uid:${UID}"]}\n`).join('')}`;

async function start(t: TestContext, more: readonly string[] = []) {
  const place = makePlace(t);
  const file = path.join(place.directory, 'entries.yaml');
  writeFileSync(file, declared('a', 'b'));
  return { file, place, server: await serve(t, { place, flags: ['--entries', file, ...more] }) };
}

/** Sends SIGHUP and waits for the next line that is like this. */
async function reload(server: Served, like: RegExp): Promise<Record<string, unknown>> {
  const from = server.log.length;
  process.kill(server.pid, 'SIGHUP');
  for (;;) {
    const line = server.log.slice(from).find(({ msg }) => like.test(String(msg)));
    if (line !== undefined) return line;
    await sleep(10);
  }
}

/** Where the descriptors of a process lead. */
function linksOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return [];
    }
  });
}

async function names(server: Served): Promise<string[]> {
  const { body } = await server.request('GET', '/v1/entries');
  return body.entries.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id.split('/').at(-1)).sort();
}

/** Why no mount can be made for the test alone; undefined: it can. */
function whyNoMountNamespace(): string | false {
  const { status, stderr } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
  return status === 0 ? false : `no mount namespace: ${stderr?.trim()}`;
}

describe('SIGHUP', { timeout: 60_000, concurrency: 2 }, () => {
  it('makes the entries of the file equal to it, and a waiting caller gets its secret', async (t) => {
    const { file, server } = await start(t);
    await server.request('POST', '/v1/entries', { spiffe_id: idOf('api'), selectors: ['unix:uid:1'] });
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(idOf('c'));
    await server.logged('name held');
    writeFileSync(file, declared('b', 'c'));
    const line = await reload(server, /^entries file applied$/);
    assert.deepEqual([line.created, line.changed, line.deleted, line.kept], [1, 0, 1, 1]);
    assert.deepEqual(await names(server), ['api', 'b', 'c']);
    assert.ok(secretOf(await stream.next(), idOf('c')));
  });

  it('keeps the last good state if the file is missing, empty or bad, and says why', async (t) => {
    const { file, server } = await start(t);
    await server.request('POST', '/v1/entries', { id: 'taken', spiffe_id: idOf('t'), selectors: ['unix:uid:1'] });
    const faults: readonly (readonly [break_: () => void, says: RegExp])[] = [
      [() => rmSync(file), /entries\.yaml: it can't be read: ENOENT/],
      [() => writeFileSync(file, ''), /entries\.yaml:\d it has no entries|entries\.yaml:\d: it has no entries/],
      [() => writeFileSync(file, 'entries:\n- spiffe_id: nonsense\n'), /entries\.yaml:2 \/entries\/0\/spiffe_id: /],
      [() => writeFileSync(file, 'entries: [\n'), /entries\.yaml:\d/],
      [() => writeFileSync(file, declared('a').replace('{', '{id: taken, ')), /entry taken /],
    ];
    for (const [breakIt, says] of faults) {
      breakIt();
      const line = await reload(server, /^the entries file was not reloaded: all entries stay as they are$/);
      assert.equal(line.level, 'error');
      const { problems = [], err } = line as { problems?: string[]; err?: { message: string } };
      assert.match(problems.join('\n') + (err?.message ?? ''), says);
      assert.deepEqual(await names(server), ['a', 'b', 't']);
    }
    writeFileSync(file, declared('d'));
    await reload(server, /^entries file applied$/);
    assert.deepEqual(await names(server), ['d', 't']);
    assert.equal((await server.stop()).code, 0);
  });

  it('goes on and stops if the file is a FIFO, or larger than any file of entries', async (t) => {
    const { file, server } = await start(t);
    const refused = /^the entries file was not reloaded: all entries stay as they are$/;
    rmSync(file);
    execFileSync('mkfifo', [file]);
    assert.match(
      String((await reload(server, refused)).problems),
      /it can't be read: it is a FIFO, not a regular file/,
    );
    rmSync(file);
    writeFileSync(file, '');
    truncateSync(file, 50_000_000);
    assert.match(
      String((await reload(server, refused)).problems),
      /it has 50000000 bytes; at most 16777216 bytes are read/,
    );
    assert.deepEqual(await names(server), ['a', 'b']);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  const notRoot = process.getuid!() === 0 ? false : 'only root may look at the descriptors of a server';
  it('stops in time although the entries come from a pipe whose writer never ends it', { skip: notRoot }, async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    const fifo = path.join(place.directory, 'fifo');
    writeFileSync(file, declared('a'));
    execFileSync('mkfifo', [fifo]);
    const writer = spawn('/bin/sh', ['-c', `cat ${file} > ${fifo}`], { stdio: 'ignore' });
    endAfter(t, writer);
    const launcher = ['/bin/sh', '-c', 'exec 3<"$0"; exec "$@"', fifo];
    const server = await serve(t, { place, launcher, flags: ['--entries', '/dev/fd/3'] });
    assert.deepEqual(await names(server), ['a']);
    const open = openSync(fifo, 'w');
    t.after(() => closeSync(open));
    process.kill(server.pid, 'SIGHUP');
    // It has the descriptor, and opens the file behind it again.
    await until(() => linksOf(server.pid).filter((link) => link === fifo).length > 1);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  it('warns like a start, and says which settings only a restart applies', async (t) => {
    const place = makePlace(t);
    const config = path.join(place.directory, 'sidekey.yaml');
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, declared('a'));
    writeFileSync(config, `entries: ${file}\nx509SvidTtl: 1h\n`);
    const server = await serve(t, { place, flags: ['--config', config] });
    writeFileSync(config, `entries: ${file}\nx509SvidTtl: 30m\n`);
    writeFileSync(file, `entries:\n- {spiffe_id: "${idOf('x')}", selectors: ["docker:label:a:b"]}\n`);
    const line = await reload(server, /^an entry is probably a mistake$/);
    assert.equal(line.path, `${file}:2 /entries/0/selectors`);
    assert.equal(typeof line.entry_id, 'string');
    const changed = server.log.find(({ msg }) => /^settings have changed/.test(String(msg)));
    assert.deepEqual(changed?.changed, ['x509SvidTtl']);
    writeFileSync(config, 'x509SvidTtl: nonsense\n');
    const faulty = await reload(server, /^the settings are invalid now, so a restart would fail$/);
    assert.match(String(faulty.problems), /sidekey\.yaml:1 x509SvidTtl/);
  });

  for (const [which, flagged] of [
    ['of --admin-token-file', true],
    ['in the data directory', false],
  ] as const) {
    it(`reads the admin token ${which} again, and keeps the former one if the file has a fault`, async (t) => {
      const place = makePlace(t);
      const file = flagged ? path.join(place.directory, 'token') : path.join(place.dataDir, 'admin.token');
      const [first, second, third] = ['first', 'second', 'third'].map((word) => `${word}-token-of-the-test`);
      if (flagged) writeFileSync(file, first!, { mode: 0o600 });
      const flags = ['--admin-listen', '127.0.0.1:0', ...(flagged ? ['--admin-token-file', file] : [])];
      const server = await serve(t, { place, flags });
      const { port } = await server.logged('admin API listens on TCP');
      const url = `http://127.0.0.1:${port}`;
      const accepts = async (token: string) => {
        const headers = { authorization: `Bearer ${token}` };
        const { status } = await fetch(`${url}/v1/entries`, { headers });
        assert.ok(status === 200 || status === 401, `${status}`);
        return status === 200;
      };
      const former = readFileSync(file, 'utf8').trim();
      assert.ok(await accepts(former));
      const events = await connectAdmin({ url, token: former }).events();

      writeFileSync(file, `${second}\n`);
      const line = await reload(server, /^the admin token has changed/);
      assert.equal(line.file, file);
      assert.deepEqual([await accepts(former), await accepts(second!)], [false, true]);
      // Readers of events that gave the former token have no place any more.
      for await (const _ of events);

      const faults: readonly (readonly [break_: () => unknown, says: RegExp])[] = [
        [() => rmSync(file), /ENOENT/],
        [() => writeFileSync(file, '', { mode: 0o600 }), /it contains no token/],
        [() => writeFileSync(file, 'short'), /its token has 5 characters: a token has at least 16/],
        [() => [writeFileSync(file, third!), chmodSync(file, 0o644)], /it is open to others/],
      ];
      for (const [breakIt, says] of faults) {
        breakIt();
        const { level, problems, err } = await reload(
          server,
          /^the admin token was not reloaded: the former one stays valid$/,
        );
        assert.equal(level, 'error');
        assert.match(JSON.stringify(problems ?? err), says);
        assert.deepEqual([await accepts(second!), await accepts(third!)], [true, false]);
      }
      chmodSync(file, 0o600);
      await reload(server, /^the admin token has changed/);
      assert.deepEqual([await accepts(second!), await accepts(third!)], [false, true]);
      for (const token of [former, second!, third!]) assert.ok(!JSON.stringify(server.log).includes(token));
      if (!flagged) assert.equal(readFileSync(file, 'utf8'), third);
    });
  }

  it('without an entries file there is nothing to reload, and the server goes on', async (t) => {
    const server = await serve(t);
    await reload(server, /^nothing to reload/);
    assert.equal((await server.request('GET', '/readyz')).status, 200);
  });

  it('leaves what it could not apply to doctor, with the line, until a reload works', async (t) => {
    const config = (text: string) => writeFileSync(configFile, text);
    const place = makePlace(t);
    const configFile = path.join(place.directory, 'sidekey.yaml');
    const file = path.join(place.directory, 'entries.yaml');
    const written = `entries: ${file}\n`;
    config(written);
    writeFileSync(file, declared('a'));
    const server = await serve(t, { place, flags: ['--config', configFile] });
    const findings = async () => {
      const { stdout } = await sidekey(['doctor', '-o', 'json', '--admin-socket', server.adminSocket]);
      const all = (JSON.parse(stdout) as { findings: Finding[] }).findings;
      return all.filter(({ place }) => place === file || place === configFile);
    };
    const rules = async () => (await findings()).map(({ rule, severity, line }) => [rule, severity, line]);
    assert.deepEqual(await findings(), []);

    // Before a reload, too.
    writeFileSync(file, declared('a', 'b').replace('uid:', 'uuid:'));
    const [edited] = await findings();
    assert.deepEqual([edited?.rule, edited?.severity, edited?.line], ['entries-file', 'error', 2]);
    assert.match(edited!.problem, /^\/entries\/0\/selectors\/0: .*uuid/);
    assert.match(edited!.why, /^a reload would be refused, .*a restart would fail/);
    const refused = /^the entries file was not reloaded/;
    await reload(server, refused);
    assert.match((await findings())[0]!.why, /^the reload at \S+ was refused/);

    rmSync(file);
    await reload(server, refused);
    const ofFile = async () => (await findings()).filter(({ place }) => place === file);
    const [missing] = await ofFile();
    assert.match(missing!.problem, /it can't be read: ENOENT/);

    writeFileSync(file, declared('a', 'b'));
    const [late] = await ofFile();
    assert.deepEqual([late?.rule, late?.severity], ['entries-not-reloaded', 'error']);
    assert.match(late!.problem, /^the reload at \S+ was refused: .*ENOENT/);
    assert.equal(late!.command, `kill -HUP ${server.pid}`);
    await reload(server, /^entries file applied$/);
    assert.deepEqual(await findings(), []);

    writeFileSync(file, declared('a', 'c', 'd'));
    assert.deepEqual(await rules(), [['entries-not-applied', 'info', undefined]]);
    assert.match((await findings())[0]!.problem, /by 3 entries$/);
    config(`${written}x509SvidTtl: nonsense\n`);
    await reload(server, /^the settings are invalid now/);
    const [invalid] = await findings();
    assert.equal(invalid?.rule, 'settings-invalid');
    assert.match(invalid!.problem, /sidekey\.yaml:2 x509SvidTtl/);
    config(written);
    await reload(server, /^entries file applied$/);
    assert.deepEqual(await findings(), []);
  });

  const noMount = whyNoMountNamespace();
  it('tells that a file which is mounted by itself was replaced outside', { skip: noMount }, async (t) => {
    const place = makePlace(t);
    const [outside, inside] = [path.join(place.directory, 'outside.yaml'), path.join(place.directory, 'inside.yaml')];
    writeFileSync(outside, declared('a'));
    writeFileSync(inside, '');
    const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
    const launcher = ['unshare', '--mount', '/bin/sh', '-c', script, outside, inside];
    const server = await serve(t, { place, launcher, flags: ['--entries', inside] });
    assert.ok(!server.log.some(({ msg }) => /was replaced/.test(String(msg))));
    // As sed -i and editors do.
    writeFileSync(`${outside}.new`, declared('b'));
    renameSync(`${outside}.new`, outside);
    const line = await reload(server, /^this file was replaced or deleted outside/);
    assert.deepEqual([line.level, line.setting, line.file], ['warn', '--entries', inside]);
    assert.deepEqual(await names(server), ['a']);
    const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
    assert.match(
      stdout,
      /inside\.yaml: warning: the file of --entries was replaced or deleted outside.*\[input-replaced\]/,
    );
  });

  it('many at once are few reloads, and the last state of the file counts', async (t) => {
    const { file, server } = await start(t);
    for (let n = 0; n < 50; n += 1) {
      writeFileSync(file, declared('a', `n${n}`));
      process.kill(server.pid, 'SIGHUP');
    }
    while ((await names(server)).join() !== 'a,n49') await sleep(10);
    await server.stop();
    assert.ok(server.log.filter(({ msg }) => msg === 'entries file applied').length <= 51);
  });
});
