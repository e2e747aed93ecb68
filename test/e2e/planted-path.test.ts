/** Other users of the host who could put something at the paths that a server uses: attacked as them, for real. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Finding } from '../../src/base/finding.ts';
import { sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import {
  makePlace,
  type Place,
  ROOT,
  requestAdmin,
  type Served,
  serve,
  spawnServe,
  TRUST_DOMAIN,
} from '../support/serve.ts';

const notNobody = whyNotNobody() ?? false;

/** Sockets in `run`, a directory of root in `home`; the admin socket is elsewhere. */
function makeHome(t: TestContext): Place & { readonly home: string } {
  const place = makePlace(t);
  chmodSync(place.directory, 0o755);
  const home = path.join(place.directory, 'home');
  mkdirSync(path.join(home, 'run'), { recursive: true });
  return {
    ...place,
    home,
    socket: path.join(home, 'run/agent.sock'),
    adminSocket: path.join(place.directory, 'admin/a.sock'),
  };
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** What a server that does not start ends with. */
async function ended(t: TestContext, child: ChildProcess): Promise<Ended> {
  endAfter(t, child);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout!.on('data', (text) => String(text).includes('"serving"') && child.kill('SIGKILL'));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

async function doctor(server: Pick<Served, 'adminSocket'>): Promise<{ status: number | null; findings: Finding[] }> {
  const { status, stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket, '--output', 'json']);
  return { status, findings: JSON.parse(stdout).findings };
}

const REMEDY = /put it below a directory that only root or uid 0 can write/;

describe('what others could put at a path', { timeout: 120_000, skip: notNobody }, () => {
  it("a socket in a directory of root's that lies in a user's is refused at start", async (t) => {
    const place = makeHome(t);
    chownSync(place.home, NOBODY, NOBODY);
    // Why: its owner can do so, though not one of the files in it is theirs.
    const swap = `import { renameSync } from 'node:fs'; renameSync('${place.home}/run', '${place.home}/aside'); console.log('done');`;
    assert.equal(await runChild(t, swap, NOBODY).firstLine, 'done');
    renameSync(path.join(place.home, 'aside'), path.join(place.home, 'run'));

    const { code, stderr } = await ended(t, spawnServe(place, []));
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /\/home \(uid 65534, mode 0755\) belongs to another user, who could put something else in its place/,
    );
    assert.match(stderr, /\(ERR_SOCKET\)/);
    assert.match(stderr, REMEDY);
    assert.doesNotMatch(stderr, /chmod|chown/);
    assert.ok(!existsSync(place.socket));
    const admin = await ended(t, spawnServe({ ...place, socket: place.adminSocket, adminSocket: place.socket }, []));
    assert.equal(admin.code, 1);
    assert.match(admin.stderr, /\/home \(uid 65534/);
  });

  it('doctor finds the directory when it becomes so later, and the false server that took the place', async (t) => {
    const place = makeHome(t);
    const server = await serve(t, { place });
    const listeners = (findings: Finding[]) =>
      findings.filter(({ rule }) => /impostor|listener|directory-foreign/.test(rule));
    assert.deepEqual(listeners((await doctor(server)).findings), []);

    chownSync(place.home, NOBODY, NOBODY);
    const before = await doctor(server);
    assert.deepEqual(
      listeners(before.findings).map(({ rule, place }) => [rule, place]),
      [['socket-directory-foreign', place.home]],
    );
    const attack = `
      import fs from 'node:fs';
      import net from 'node:net';
      process.umask(0);
      fs.renameSync('${place.home}/run', '${place.home}/aside');
      fs.mkdirSync('${place.home}/run');
      net.createServer((socket) => socket.destroy()).listen('${place.socket}', () => console.log('false server'));`;
    const attacker = runChild(t, attack, NOBODY);
    assert.equal(await attacker.firstLine, 'false server');

    const { status, findings } = await doctor(server);
    assert.equal(status, 1);
    const impostor = findings.find(({ rule }) => rule === 'pipe-impostor');
    assert.equal(
      impostor?.problem,
      `another process listens on the pipe: process ${attacker.process.pid} (uid 65534); the server is process ${server.pid} (uid 0)`,
    );
    const foreign = findings.filter(({ rule }) => rule === 'socket-directory-foreign').map((one) => one.place);
    assert.deepEqual(foreign, [place.home, path.join(place.home, 'run')]);
    // Nothing that is pasted may change what the attacker has put there.
    for (const { place: at, command } of findings) {
      if (at.startsWith(place.home)) assert.equal(command, undefined, at);
    }
  });

  it('doctor offers no command for a socket that is a planted link, and none that would follow it', async (t) => {
    const place = makeHome(t);
    const server = await serve(t, { place });
    const victim = path.join(place.directory, 'victim');
    writeFileSync(victim, '', { mode: 0o600 });
    chownSync(place.home, NOBODY, NOBODY);
    const attack = `
      import fs from 'node:fs';
      fs.renameSync('${place.home}/run', '${place.home}/aside');
      fs.mkdirSync('${place.home}/run');
      fs.symlinkSync('${victim}', '${place.socket}');
      console.log('done');`;
    assert.equal(await runChild(t, attack, NOBODY).firstLine, 'done');
    const { findings } = await doctor(server);
    const gone = findings.find(({ rule }) => rule === 'pipe-gone');
    assert.ok(gone !== undefined && gone.command === undefined, JSON.stringify(findings));
  });

  it('doctor gives root no command on files of another user, nor on what a false server names', async (t) => {
    const place = makePlace(t);
    chownSync(place.directory, NOBODY, NOBODY);
    const flags = ['--data-dir', place.dataDir, '--socket', place.socket, '--admin-socket', place.adminSocket];
    const serving = spawn(path.join(ROOT, 'bin/sidekey'), ['serve', '--trust-domain', TRUST_DOMAIN, ...flags], {
      uid: NOBODY,
      gid: NOBODY,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    endAfter(t, serving);
    await new Promise<void>((resolve) => {
      serving.stdout.on('data', (text) => String(text).includes('"serving"') && resolve());
    });
    chmodSync(path.join(place.dataDir, 'sidekey.db'), 0o644);
    const { findings } = await doctor(place);
    const rules = findings.map(({ rule }) => rule);
    assert.ok(rules.includes('data-dir-open') && rules.includes('admin-listener'), rules.join());
    for (const { command, rule } of findings) assert.equal(command, undefined, rule);
    const known = await requestAdmin(place.adminSocket, 'GET', '/v1/doctor');
    serving.kill('SIGKILL');
    await once(serving, 'close');

    // It says that it is root, and that the system's files are its own.
    const victims = makePlace(t);
    await (await serve(t, { place: victims })).stop();
    chmodSync(victims.dataDir, 0o755);
    const lies = { ...known.body, uid: 0, data_dir: victims.dataDir, socket: '/etc/passwd' };
    const falseServer = `
      import fs from 'node:fs';
      import http from 'node:http';
      fs.rmSync('${place.adminSocket}', { force: true });
      const answer = ${JSON.stringify(JSON.stringify(lies))};
      const server = http.createServer((request, response) => {
        response.setHeader('content-type', 'application/json').end(answer);
      });
      server.listen('${place.adminSocket}', () => console.log('up'));`;
    assert.equal(await runChild(t, falseServer, NOBODY).firstLine, 'up');
    const told = (await doctor(place)).findings;
    assert.ok(told.some(({ rule }) => rule === 'data-dir-open') && told.some(({ rule }) => rule === 'pipe-gone'));
    for (const { command, rule } of told) assert.equal(command, undefined, rule);
  });

  it('a planted root authority does not become live by what is printed', async (t) => {
    const place = makePlace(t);
    await (await serve(t, { place })).stop();
    const ca = path.join(place.dataDir, 'ca');
    const planted = path.join(ca, 'root-00.pem');
    writeFileSync(planted, 'planted', { mode: 0o644 });
    chownSync(planted, NOBODY, NOBODY);
    symlinkSync('/etc/passwd', path.join(ca, 'root-01.pem'));
    const { code, stderr } = await ended(t, spawnServe(place, []));
    assert.equal(code, 1);
    assert.match(stderr, /root-00\.pem: it belongs to uid 65534, not to uid 0/);
    assert.match(stderr, /root-01\.pem: it is a symbolic link/);
    assert.match(stderr, /move it away and restore it from a backup/);
    assert.doesNotMatch(stderr, /chmod|chown/);
  });

  it('token files are refused where somebody else could exchange them, of the server and of its clients', async (t) => {
    const place = makeHome(t);
    const token = path.join(place.home, 'secrets/token');
    mkdirSync(path.dirname(token));
    writeFileSync(token, 'a-token-of-sixteen-letters', { mode: 0o600 });
    chownSync(place.home, NOBODY, NOBODY);
    const server = await ended(t, spawnServe(place, ['--admin-token-file', token]));
    assert.equal(server.code, 2, server.stderr);
    assert.match(
      server.stderr,
      /--admin-token-file: .*\/home \(uid 65534, mode 0755\) belongs to another user.*\(ERR_CONFIG\)/,
    );
    assert.match(server.stderr, REMEDY);
    const ask = (file: string) => sidekey(['entry', 'list', '--admin-url', 'http://127.0.0.1:1', '--token-file', file]);
    const client = await ask(token);
    assert.equal(client.status, 2);
    assert.match(client.stderr, /--token-file: .*\/home \(uid 65534, mode 0755\) belongs to another user/);
    chownSync(place.home, 0, 0);
    assert.match((await ask(token)).stderr, /ERR_UNREACHABLE/);
    chownSync(token, NOBODY, NOBODY);
    assert.match((await ask(token)).stderr, /it belongs to uid 65534/);
  });

  it('files that decide are warned of where others can write them, at start and by doctor', async (t) => {
    const place = makePlace(t);
    const clone = path.join(place.directory, 'clone');
    mkdirSync(clone);
    chmodSync(clone, 0o775);
    const entries = path.join(clone, 'entries.yaml');
    const config = path.join(place.directory, 'sidekey.yaml');
    writeFileSync(entries, 'entries: []\n');
    chmodSync(entries, 0o666);
    writeFileSync(config, 'logLevel: info\n');
    chownSync(config, NOBODY, NOBODY);
    const flags = ['--entries', entries, '--config', config];
    const server = await serve(t, { place, flags });
    const lines = server.log.filter(({ msg }) => String(msg).startsWith('other users can change this file'));
    assert.deepEqual(
      lines.map(({ level, setting, file, by }) => ({ level, setting, file, by })),
      [
        {
          level: lines[0]!.level,
          setting: '--config',
          file: config,
          by: [{ place: config, uid: NOBODY, mode: '0644' }],
        },
        {
          level: lines[0]!.level,
          setting: '--entries',
          file: entries,
          by: [
            { place: clone, uid: 0, mode: '0775' },
            { place: entries, uid: 0, mode: '0666' },
          ],
        },
      ],
    );
    assert.match(String(lines[0]!.msg), /decide which caller gets which identity/);
    const found = (await doctor(server)).findings.filter(({ rule }) => rule === 'input-open');
    assert.deepEqual(
      found.map(({ place }) => place),
      [config, entries],
    );
    assert.match(found[1]!.problem, /entries\.yaml \(uid 0, mode 0666\) can be written by everybody/);
    await server.stop();

    chmodSync(entries, 0o644);
    chmodSync(clone, 0o755);
    const quiet = await serve(t, { place, flags: ['--entries', entries] });
    assert.ok(!quiet.log.some(({ msg }) => String(msg).startsWith('other users can change')));
    assert.ok(!(await doctor(quiet)).findings.some(({ rule }) => rule === 'input-open'));
  });
});

const namespaces =
  spawnSync('unshare', ['--user', '--map-root-user', 'true'], { uid: NOBODY, gid: NOBODY }).status === 0;

describe('in a user namespace that has no number for most users', {
  timeout: 60_000,
  skip: notNobody || (namespaces ? false : 'no user namespace can be made here by a user without rights'),
}, () => {
  /** As a user of the host, who is root in there. */
  function spawnInside(place: Place, map: readonly string[] = ['--map-root-user']): ChildProcess {
    const flags = ['--data-dir', place.dataDir, '--socket', place.socket, '--admin-socket', place.adminSocket];
    const args = ['--user', ...map, path.join(ROOT, 'bin/sidekey'), 'serve', '--trust-domain', TRUST_DOMAIN, ...flags];
    return spawn('unshare', args, { uid: NOBODY, gid: NOBODY, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  function ownPlace(t: TestContext): Place {
    const place = makePlace(t);
    chownSync(place.directory, NOBODY, NOBODY);
    return place;
  }

  it('a server starts below its own directory, and says whose directories it has taken for root', async (t) => {
    const place = ownPlace(t);
    const child = spawnInside(place);
    endAfter(t, child);
    let said = '';
    const serving = new Promise<boolean>((resolve) => {
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('"serving"')) resolve(true);
      });
      child.stderr!.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      child.once('close', () => resolve(false));
    });
    assert.ok(await serving, said);
    const line = said.split('\n').find((one) => one.includes('has no id in this user namespace'))!;
    const { directories } = JSON.parse(line) as { directories: { place: string; uid: number }[] };
    assert.deepEqual(directories[0], { place: '/', uid: 65_534, mode: directories[0] && modeOfRoot() });
  });

  it('but not below one of an unknown owner that lies in its own', async (t) => {
    const place = ownPlace(t);
    const theirs = path.join(place.directory, 'theirs');
    mkdirSync(path.join(theirs, 'data'), { recursive: true });
    chmodSync(path.join(theirs, 'data'), 0o700);
    chownSync(path.join(theirs, 'data'), NOBODY, NOBODY);
    const { code, stderr } = await ended(t, spawnInside({ ...place, dataDir: path.join(theirs, 'data') }));
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\/theirs \(uid 65534, mode 0755\) belongs to a user who has no number in this user namespace/,
    );
  });

  it('nor as a user who has no number itself, to whom every file would look like its own', async (t) => {
    const place = ownPlace(t);
    const { code, stderr } = await ended(t, spawnInside(place, []));
    assert.equal(code, 1);
    assert.match(stderr, /the user of this process has no number in its user namespace/);
    assert.deepEqual(readdirSync(place.directory), []);
  });
});

function modeOfRoot(): string {
  return spawnSync('stat', ['-c', '0%a', '/'], { encoding: 'utf8' }).stdout.trim();
}
