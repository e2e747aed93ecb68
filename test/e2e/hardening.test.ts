/** Other processes get at the server's memory by no door: no debugger, no core file, no /proc/PID/mem, no ptrace. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endAfter } from '../support/caller.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { whyNoDescriptorsSeen } from '../support/process-state.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const LISTENS = '0A';

/** How many TCP sockets a process listens on. */
function listeners(pid: number): number {
  const inodes = new Set<string>();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readFileSync(`/proc/${pid}/net/${table}`, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === LISTENS) inodes.add(fields[9]!);
    }
  }
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return inodes.has(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? '');
    } catch {
      return false;
    }
  }).length;
}

/** The signal is seen by now: it is delivered before a later one, and the server has answered since. */
async function signalled(server: Served): Promise<void> {
  process.kill(server.pid, 'SIGUSR1');
  for (let i = 0; i < 3; i += 1) {
    assert.equal((await server.request('GET', '/readyz')).status, 200);
    await sleep(100);
  }
}

const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** A place that this user owns. */
function placeOf(t: TestContext, uid: number): Place {
  const place = makePlace(t);
  chownSync(place.directory, uid, uid);
  return place;
}

describe('the debugger of Node', { concurrency: 2, timeout: 60_000 }, () => {
  const skip = whyNoDescriptorsSeen() ?? false;

  it('is not opened by SIGUSR1', { skip }, async (t) => {
    const server = await serve(t);
    await signalled(server);
    assert.equal(listeners(server.pid), 0);
  });

  it('is not opened by SIGUSR1 where the server is started without bin/sidekey', { skip }, async (t) => {
    const place = makePlace(t);
    const flags = ['--data-dir', place.dataDir, '--socket', place.socket, '--admin-socket', place.adminSocket];
    const args = [path.join(ROOT, 'src/cli/main.ts'), 'serve', '--trust-domain', TRUST_DOMAIN, ...flags];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    endAfter(t, child);
    await once(child.stdout, 'data');
    child.stdout.resume();
    child.kill('SIGUSR1');
    await sleep(300);
    assert.equal(listeners(child.pid!), 0);
    assert.equal(child.exitCode, null);
  });

  for (const flag of ['--inspect=127.0.0.1:0', '--inspect-brk=0', '--inspect-wait=127.0.0.1:0']) {
    it(`is not opened by NODE_OPTIONS=${flag}`, { skip }, async (t) => {
      const server = await serve(t, { env: { NODE_OPTIONS: flag } });
      assert.equal(listeners(server.pid), 0);
    });
  }

  it('keeps the server from starting where it is open', () => {
    const args = [path.join(ROOT, 'src/cli/main.ts'), 'serve', '--trust-domain', TRUST_DOMAIN];
    for (const [flags, options] of [
      [['--inspect=127.0.0.1:0'], ''],
      [[], '--inspect=127.0.0.1:0'],
    ] as const) {
      const env = { ...process.env, NODE_OPTIONS: options };
      const { status, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8', env });
      assert.equal(status, 2);
      assert.match(stderr, /Node's inspector is open/);
    }
  });
});

it("Node's and OpenSSL's variables neither load code nor write files", { timeout: 60_000 }, async (t) => {
  const folder = tempDir(t);
  const canary = path.join(folder, 'canary');
  const program = path.join(folder, 'program.cjs');
  writeFileSync(program, `require('node:fs').writeFileSync(${JSON.stringify(canary)}, 'loaded');`);
  const config = path.join(folder, 'openssl.cnf');
  writeFileSync(config, 'openssl_conf = x\n[x]\nproviders = y\n[y]\nz = w\n[w]\nmodule = /nowhere.so\nactivate = 1\n');
  const coverage = path.join(folder, 'coverage');
  const server = await serve(t, {
    env: {
      NODE_OPTIONS: `--require=${program} --trace-event-categories=v8`,
      NODE_PATH: folder,
      NODE_V8_COVERAGE: coverage,
      NODE_REDIRECT_WARNINGS: path.join(folder, 'warnings'),
      NODE_DEBUG: 'http,net',
      NODE_REPL_EXTERNAL_MODULE: program,
      NODE_EXTRA_CA_CERTS: '/nowhere.pem',
      NODE_ICU_DATA: '/nowhere',
      NODE_UNIQUE_ID: '1',
      OPENSSL_CONF: config,
    },
  });
  assert.equal((await server.request('GET', '/readyz')).status, 200);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.deepEqual(readdirSync(folder).sort(), ['openssl.cnf', 'program.cjs']);
});

describe('the memory of the server', { concurrency: 2, timeout: 60_000 }, () => {
  it('is in no core file after a crash', async (t) => {
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim();
    const folder = tempDir(t);
    const crash = async (launcher: readonly string[]) => {
      const unlimited = ['sh', '-c', 'ulimit -c unlimited; cd "$0"; exec "$@"', folder];
      const child = spawn(unlimited[0]!, [...unlimited.slice(1), ...launcher], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      endAfter(t, child);
      await once(child.stdout, 'data');
      child.kill('SIGSEGV');
      await once(child, 'exit');
    };
    const server = await serve(t, { launcher: ['sh', '-c', 'ulimit -c unlimited; cd "$0"; exec "$@"', folder] });
    const core = readFileSync(`/proc/${server.pid}/limits`, 'latin1')
      .split('\n')
      .find((line) => line.startsWith('Max core file size'));
    assert.match(core!, /size +0 +0 /);
    process.kill(server.pid, 'SIGSEGV');
    assert.equal((await server.stop()).signal, 'SIGSEGV');
    assert.deepEqual(readdirSync(folder), []);
    if (pattern.startsWith('|') || pattern.includes('/')) {
      return t.skip(`what another process leaves behind goes elsewhere: core_pattern is ${pattern}`);
    }
    await crash(['sh', '-c', 'echo; exec sleep 60']);
    assert.equal(readdirSync(folder).length, 1, 'another process leaves one there');
  });

  it('is not to be read by another process of its user, which can not attach to it either', async (t) => {
    const why = whyNotNobody();
    if (why !== undefined) return t.skip(why);
    const server = await serve(t, { place: placeOf(t, NOBODY), launcher: AS_NOBODY });
    const attack = `
      const fs = require('node:fs');
      const koffi = require(${JSON.stringify(path.join(ROOT, 'node_modules/koffi'))});
      const libc = koffi.load(null);
      const ptrace = libc.func('long ptrace(long request, int pid, long address, long data)');
      const tried = {};
      for (const name of ['mem', 'environ', 'maps', 'auxv', 'fd', 'cwd', 'root', 'exe']) {
        try {
          const file = '/proc/${server.pid}/' + name;
          if (name === 'fd') fs.readdirSync(file); else if (['cwd', 'root', 'exe'].includes(name)) fs.readlinkSync(file);
          else { const fd = fs.openSync(file, 'r'); fs.readSync(fd, Buffer.alloc(1), 0, 1, null); }
          tried[name] = 'open';
        } catch (error) { tried[name] = error.code; }
      }
      tried.attach = ptrace(16, ${server.pid}, 0, 0) === 0 ? 'attached' : koffi.errno();
      console.log(JSON.stringify(tried));
    `;
    const child = runChild(
      t,
      `import { createRequire } from 'node:module'; const require = createRequire('/');${attack}`,
      NOBODY,
    );
    const tried = JSON.parse(await child.firstLine);
    const [EACCES, EPERM] = ['EACCES', 1];
    for (const name of ['mem', 'environ', 'fd', 'cwd', 'root', 'exe']) assert.equal(tried[name], EACCES, name);
    assert.notEqual(tried.maps, 'open');
    assert.notEqual(tried.auxv, 'open');
    assert.equal(tried.attach, EPERM);
  });

  it('is closed, and a server that is not root works all the same', async (t) => {
    const why = whyNotNobody();
    if (why !== undefined) return t.skip(why);
    const place = placeOf(t, NOBODY);
    const server = await serve(t, { place, launcher: AS_NOBODY, flags: ['--socket-mode', '0666'] });
    const spiffeId = `spiffe://${TRUST_DOMAIN}/web`;
    const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors })).status, 201);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    assert.deepEqual(namesOf(await client.fetch({ resourceNames: [spiffeId] })), [spiffeId]);
    const doctor = [
      ...AS_NOBODY.slice(1),
      `${ROOT}/bin/sidekey`,
      'doctor',
      '--admin-socket',
      server.adminSocket,
      '-o',
      'json',
    ];
    const { status, stdout, stderr } = spawnSync('setpriv', doctor, { encoding: 'utf8', cwd: '/' });
    assert.ok(status === 0 || status === 1, stderr);
    const self = (await server.request('GET', '/v1/doctor')).body;
    assert.ok(self.descriptors.open > 10 && self.descriptors.limit > 10);
    assert.deepEqual(
      JSON.parse(stdout).skipped.filter(({ why: reason }: { why: string }) => reason.includes('EACCES')),
      [],
    );
  });
});
