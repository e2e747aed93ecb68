/** A server under the restrictions of its unit file still attests the processes of other users. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, copyFileSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { makeUnitCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { run } from '../support/run.ts';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { restrictedLauncher, settingOf } from '../support/unit-file.ts';

/** A user that nobody is. */
const USER = 31_337;
const AS_USER = ['setpriv', '--reuid', String(USER), '--regid', String(USER), '--groups', '4242'];
/** Bits in CapBnd. */
const BITS: Readonly<Record<string, bigint>> = {
  CAP_CHOWN: 0n,
  CAP_DAC_READ_SEARCH: 2n,
  CAP_NET_BIND_SERVICE: 10n,
  CAP_SYS_PTRACE: 19n,
};

function whyNot(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can restrict a server and start processes as other users';
  if (spawnSync('systemd-analyze', ['syscall-filter', '@default']).status !== 0) {
    return 'there is no systemd-analyze, which lists the groups of system calls (package systemd)';
  }
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) return 'no mount namespace can be made here';
  const other = spawnSync('setpriv', [...AS_USER.slice(1), path.join(ROOT, 'bin/sidekey'), '--version'], { cwd: '/' });
  if (other.status !== 0) return 'another user can read neither this checkout nor its Node, or there is no setpriv';
  return whyNoCgroup();
}

/** A Node that only its owner, the user, may read. */
function privateNode(t: TestContext): string {
  const folder = tempDir(t);
  chmodSync(folder, 0o711);
  const file = path.join(folder, 'node');
  copyFileSync(process.execPath, file);
  chownSync(file, USER, USER);
  chmodSync(file, 0o700);
  return file;
}

async function restricted(t: TestContext, capabilities?: readonly string[]): Promise<Served> {
  const place = makePlace(t);
  chmodSync(place.directory, 0o755);
  const launcher = restrictedLauncher({ writable: place.directory, ...(capabilities && { capabilities }) });
  return serve(t, { place, launcher, flags: ['--socket-group', String(USER)] });
}

/** What a process of the user, with this program, gets. */
function fetchAs({ socket }: Served, node: string, join?: (pid: number) => void) {
  const client = [node, path.join(ROOT, 'dist/sidekey.cjs'), 'fetch', '--socket', socket];
  // It waits for the end of its stdin, so that it can be put into a cgroup.
  return run([...AS_USER, 'sh', '-c', 'cat >/dev/null; exec "$@"', 'sh', ...client], join);
}

async function entry(server: Served, name: string, selectors: readonly string[]): Promise<string> {
  const spiffe_id = `spiffe://${TRUST_DOMAIN}/${name}`;
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id, selectors });
  assert.equal(status, 201);
  return spiffe_id;
}

describe('under the restrictions of the unit file', { skip: whyNot() ?? false, timeout: 120_000 }, () => {
  it('a server attests a process of another user by every kind of fact', async (t) => {
    const node = privateNode(t);
    const server = await restricted(t);
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
    const mask = settingOf('CapabilityBoundingSet').reduce((sum, name) => sum | (1n << BITS[name]!), 0n);
    const expected = mask.toString(16).padStart(16, '0');
    for (const set of ['CapBnd', 'CapEff', 'CapPrm']) assert.match(status, new RegExp(`^${set}:\t${expected}$`, 'm'));
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.match(status, /^Seccomp:\t2$/m);
    const { mode, gid } = statSync(server.socket);
    assert.deepEqual([mode & 0o777, gid], [0o660, USER]);

    const sha256 = createHash('sha256').update(readFileSync(node)).digest('hex');
    const given = await Promise.all([
      entry(server, 'uid', [`unix:uid:${USER}`]),
      entry(server, 'group', [`unix:gid:${USER}`, 'unix:supplementary_gid:4242']),
      entry(server, 'program', [`unix:uid:${USER}`, `unix:path:${node}`]),
      entry(server, 'hash', [`unix:uid:${USER}`, `unix:sha256:${sha256}`]),
      entry(server, 'unit', [`unix:uid:${USER}`, 'systemd:id:web.service']),
    ]);
    await entry(server, 'another', [`unix:uid:${USER}`, 'unix:path:/usr/bin/envoy']);
    const web = makeUnitCgroup(t, 'web.service');
    const { status: ended, stdout, stderr } = await fetchAs(server, node, web.join);
    assert.equal(ended, 0, stderr);
    for (const id of given) assert.ok(stdout.includes(id), `${id}: ${stdout}`);
    assert.ok(!stdout.includes('/another'), stdout);
    const doctor = await run([
      path.join(ROOT, 'bin/sidekey'),
      'doctor',
      ...['--admin-socket', server.adminSocket, '-o', 'json'],
    ]);
    const { findings } = JSON.parse(doctor.stdout);
    // Where no systemd runs, an entry for a unit is a fault; the cgroup is the test's own.
    const faults = findings.filter(
      ({ severity, rule }: Record<string, string>) => severity === 'error' && rule !== 'entry-unproducible',
    );
    assert.deepEqual(faults, []);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  it('without CAP_SYS_PTRACE it would see no program of another user', async (t) => {
    const node = privateNode(t);
    const server = await restricted(t, ['CAP_DAC_READ_SEARCH', 'CAP_CHOWN']);
    await entry(server, 'program', [`unix:uid:${USER}`, `unix:path:${node}`]);
    assert.equal((await fetchAs(server, node)).status, 1);
  });

  it('without CAP_DAC_READ_SEARCH it would see no hash of a program that only its user may read', async (t) => {
    const node = privateNode(t);
    const server = await restricted(t, ['CAP_SYS_PTRACE', 'CAP_CHOWN']);
    const sha256 = createHash('sha256').update(readFileSync(node)).digest('hex');
    await entry(server, 'hash', [`unix:uid:${USER}`, `unix:sha256:${sha256}`]);
    assert.equal((await fetchAs(server, node)).status, 1);
  });
});
