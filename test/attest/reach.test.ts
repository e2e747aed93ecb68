/** Whether a process can connect to the pipe: said by rules, and as real processes find it. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { type FileUser, firstDenied, type Inode, reachOf, reachOfUser } from '../../src/attest/reach.ts';
import { unreachableUsers } from '../../src/attest/unreachable.ts';
import { accountOf, groupName } from '../../src/base/groups.ts';
import { endAfter } from '../support/caller.ts';
import { tempDir } from '../support/temp-dir.ts';

const DAC_OVERRIDE = 2n;
const DAC_READ_SEARCH = 4n;

function user(change: Partial<FileUser> = {}): FileUser {
  return { uid: 1000, gid: 1000, groups: [], capabilities: 0n, maps: undefined, ...change };
}

const at = (place: string, uid: number, gid: number, mode: number): Inode & { place: string } => ({
  place,
  uid,
  gid,
  mode,
});

const OPEN = at('/run', 0, 0, 0o40755);
const PIPE = at('/run/agent.sock', 0, 50, 0o140660);

describe('the rules of the kernel', () => {
  const cases: readonly (readonly [
    string,
    FileUser,
    (Inode & { place: string })[],
    Inode & { place: string },
    RegExp | undefined,
  ])[] = [
    ['the owner', user({ uid: 0 }), [OPEN], PIPE, undefined],
    ['the group', user({ gid: 50 }), [OPEN], PIPE, undefined],
    ['a supplementary group', user({ groups: [7, 50] }), [OPEN], PIPE, undefined],
    [
      'another user',
      user(),
      [OPEN],
      PIPE,
      /may not connect to \/run\/agent\.sock .* neither the owner nor in the group 50/,
    ],
    ['others', user(), [OPEN], { ...PIPE, mode: 0o140666 }, undefined],
    // The first class that fits counts, even if a later one allows more.
    [
      'an owner without a right',
      user({ uid: 0 }),
      [OPEN],
      { ...PIPE, mode: 0o140066 },
      /the owner has no such permission/,
    ],
    [
      'a group without a right',
      user({ gid: 50 }),
      [OPEN],
      { ...PIPE, mode: 0o140606 },
      /the group has no such permission/,
    ],
    [
      'a closed directory',
      user({ gid: 50 }),
      [OPEN, at('/run/x', 0, 0, 0o40700)],
      PIPE,
      /may not pass the directory \/run\/x/,
    ],
    ['a directory of its group', user({ gid: 50 }), [at('/run/x', 0, 50, 0o40710)], PIPE, undefined],
    ['a directory to be read alone', user({ gid: 50 }), [at('/run/x', 0, 50, 0o40740)], PIPE, /may not pass/],
    ['CAP_DAC_OVERRIDE', user({ capabilities: DAC_OVERRIDE }), [at('/x', 0, 0, 0o40700)], PIPE, undefined],
    [
      'CAP_DAC_READ_SEARCH passes directories',
      user({ gid: 50, capabilities: DAC_READ_SEARCH }),
      [at('/x', 0, 0, 0o40700)],
      PIPE,
      undefined,
    ],
    ['CAP_DAC_READ_SEARCH does not connect', user({ capabilities: DAC_READ_SEARCH }), [OPEN], PIPE, /may not connect/],
    [
      'a capability in a user namespace without the owner of the file',
      user({
        capabilities: DAC_OVERRIDE,
        maps: { uid: [{ inside: 0, outside: 1000, count: 1 }], gid: [{ inside: 0, outside: 50, count: 1 }] },
      }),
      [OPEN],
      PIPE,
      /may not connect/,
    ],
    [
      'a capability in a user namespace with the owner and the group of the file',
      user({
        capabilities: DAC_OVERRIDE,
        maps: { uid: [{ inside: 0, outside: 0, count: 2000 }], gid: [{ inside: 0, outside: 0, count: 2000 }] },
      }),
      [OPEN],
      PIPE,
      undefined,
    ],
  ];
  for (const [what, who, directories, socket, denied] of cases) {
    it(what, () => {
      const found = firstDenied(who, directories, socket);
      if (denied === undefined) assert.equal(found, undefined);
      else assert.match(found!.detail, denied);
    });
  }

  it('what is proposed is what would help', () => {
    assert.match(
      firstDenied(user(), [OPEN], PIPE)!.fix,
      /give it the group 50 \(usermod -aG.*--group-add 50\) and start it again/,
    );
    assert.match(firstDenied(user(), [OPEN], { ...PIPE, gid: 0 })!.fix, /--socket-group/);
    assert.match(firstDenied(user(), [OPEN], { ...PIPE, mode: 0o140600 })!.fix, /--socket-mode 0660/);
    assert.match(firstDenied(user(), [at('/run/x y', 0, 0, 0o40700)], PIPE)!.fix, /chmod o\+x '\/run\/x y'/);
  });
});

interface Stage {
  readonly directory: string;
  readonly socket: string;
}

async function listen(t: TestContext): Promise<Stage> {
  const directory = path.join(tempDir(t), 'run');
  mkdirSync(directory);
  const socket = path.join(directory, 'agent.sock');
  const server = net.createServer().listen(socket);
  t.after(() => server.close());
  await once(server, 'listening');
  return { directory, socket };
}

/** Connects, says how that went, and stays. */
const CONNECT = `
const socket = require('net').connect(process.argv[1]);
socket.once('connect', () => console.log('yes'));
socket.once('error', ({ code }) => console.log(code));
setInterval(() => {}, 1e9);
`;

/** A process that tries it, and what it found. */
async function tries(t: TestContext, command: readonly string[], socket: string, options: object = {}) {
  const [program, ...args] = [...command, process.execPath, '-e', CONNECT, socket];
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/', ...options });
  endAfter(t, child);
  const [said] = (await once(child.stdout!, 'data')) as [Buffer];
  return { pid: child.pid!, found: said.toString().trim() };
}

/** Copies a program with its libraries; false if they are not known. */
function copyProgram(program: string, root: string): boolean {
  const { stdout, status } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (status !== 0) return false;
  for (const file of [program, ...(stdout.match(/\/\S+(?= \()/g) ?? [])]) {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    copyFileSync(file, path.join(root, file));
  }
  return true;
}

const isRoot = process.getuid!() === 0;
const NOBODY = 65_534;
const GROUP = 3_999_999;
const needsRoot = isRoot ? false : 'only root can start processes of other users';
const can = (...command: string[]) => spawnSync(command[0]!, [...command.slice(1), 'true']).status === 0;
const noMount = can('unshare', '--mount') ? false : 'no mount namespace can be made here (root, and unshare)';
const noUser = can('unshare', '--user', '--map-root-user') ? false : 'no user namespace can be made here';

describe('what is said of a process is what it finds', () => {
  it('itself', async (t) => {
    const { socket } = await listen(t);
    const { pid, found } = await tries(t, [], socket);
    assert.equal(found, 'yes');
    assert.deepEqual(reachOf(pid, socket), {
      verdict: 'yes',
      detail: `it may connect to ${socket}`,
      fix: undefined,
      seenAs: socket,
    });
  });

  it('other users and groups, with every mode of the socket and its directory', {
    skip: needsRoot,
    timeout: 120_000,
  }, async (t) => {
    const { directory, socket } = await listen(t);
    chmodSync(path.dirname(directory), 0o711);
    for (const file of [directory, socket]) chownSync(file, 0, GROUP);
    const users = [
      { uid: NOBODY, gid: NOBODY },
      { uid: NOBODY, gid: GROUP },
      { uid: 0, gid: 0 },
    ];
    for (const who of users) {
      for (const [above, mode] of [
        [0o755, 0o660],
        [0o755, 0o600],
        [0o755, 0o666],
        [0o750, 0o666],
        [0o700, 0o666],
      ] as const) {
        chmodSync(directory, above);
        chmodSync(socket, mode);
        const { pid, found } = await tries(t, [], socket, who);
        const { verdict, detail } = reachOf(pid, socket);
        assert.equal(
          verdict === 'yes',
          found === 'yes',
          `${JSON.stringify(who)} ${above.toString(8)} ${mode.toString(8)}: ${found}, ${detail}`,
        );
      }
    }
  });

  it('a process with a supplementary group, and one with a capability less', { skip: needsRoot }, async (t) => {
    const { directory, socket } = await listen(t);
    chmodSync(path.dirname(directory), 0o711);
    chmodSync(directory, 0o711);
    chownSync(socket, 1, GROUP);
    chmodSync(socket, 0o660);
    if (!can('setpriv', '--reuid=65534', '--clear-groups')) {
      t.skip('there is no setpriv');
      return;
    }
    for (const [flags, expected] of [
      [['--reuid=65534', '--regid=65534', `--groups=${GROUP}`], 'yes'],
      [['--reuid=65534', '--regid=65534', '--clear-groups'], 'EACCES'],
      [['--bounding-set=-dac_override', '--clear-groups'], 'EACCES'],
    ] as const) {
      const { pid, found } = await tries(t, ['setpriv', ...flags], socket);
      assert.equal(found, expected, flags.join(' '));
      assert.equal(reachOf(pid, socket).verdict, expected === 'yes' ? 'yes' : 'no', flags.join(' '));
    }
  });

  it('a process in a mount namespace that has the directory elsewhere, or not at all', { skip: noMount }, async (t) => {
    const { directory, socket } = await listen(t);
    const other = tempDir(t);
    const inside = path.join(other, 'agent.sock');
    const sh = (mounts: string) => ['unshare', '--mount', '/bin/sh', '-c', `${mounts}; exec "$@"`, 'sh'];
    const elsewhere = await tries(
      t,
      sh(`mount --bind ${directory} ${other}; mount -t tmpfs none ${directory}`),
      inside,
    );
    assert.equal(elsewhere.found, 'yes');
    const { verdict, seenAs, detail } = reachOf(elsewhere.pid, socket);
    assert.deepEqual([verdict, seenAs], ['yes', inside]);
    assert.match(detail, /, which it sees as .*\(directories above .* were not looked at\)$/);
    const hidden = await tries(t, sh(`mount -t tmpfs none ${directory}`), socket);
    assert.equal(hidden.found, 'ENOENT');
    const told = reachOf(hidden.pid, socket);
    assert.equal(told.verdict, 'no');
    assert.match(told.detail, /a mount namespace of its own, .* is not mounted$/);
    assert.match(told.fix!, /^mount its directory there: docker run -v /);
    const same = await tries(t, sh('true'), socket);
    assert.equal(same.found, 'yes');
    assert.deepEqual([reachOf(same.pid, socket).verdict, reachOf(same.pid, socket).seenAs], ['yes', socket]);
  });

  it('a process with another root directory', { skip: needsRoot }, async (t) => {
    const { directory, socket } = await listen(t);
    const [inside, outside] = [path.dirname(directory), tempDir(t)];
    for (const [root, verdict, seenAs] of [
      [inside, 'yes', '/run/agent.sock'],
      [outside, 'no', undefined],
    ] as const) {
      if (!copyProgram('/bin/sleep', root)) {
        t.skip('ldd does not say which libraries sleep needs');
        return;
      }
      const child = spawn('chroot', [root, '/bin/sleep', '1000'], { stdio: 'ignore' });
      endAfter(t, child);
      await wait('another root', {
        look: async () => readlinkSync(`/proc/${child.pid}/root`),
        until: (seen) => seen === root,
      });
      const reach = reachOf(child.pid!, socket);
      assert.deepEqual([reach.verdict, reach.seenAs], [verdict, seenAs], reach.detail);
      if (verdict === 'no') assert.match(reach.detail, /^its root directory is .* \(chroot\), and .* is not in it$/);
    }
  });

  it('a process in a user namespace, whose capabilities count for its own files alone', {
    skip: isRoot ? noUser : needsRoot,
  }, async (t) => {
    const { directory, socket } = await listen(t);
    chmodSync(path.dirname(directory), 0o711);
    chmodSync(directory, 0o711);
    chownSync(socket, 1, 1);
    chmodSync(socket, 0o660);
    const { pid, found } = await tries(t, ['unshare', '--user', '--map-root-user'], socket);
    assert.equal(found, 'EACCES');
    assert.equal(reachOf(pid, socket).verdict, 'no');
  });

  it('a user of whom no process runs, by its account', { skip: needsRoot }, async (t) => {
    const { directory, socket } = await listen(t);
    chmodSync(path.dirname(directory), 0o711);
    chmodSync(directory, 0o711);
    chownSync(socket, 0, 1);
    chmodSync(socket, 0o660);
    const account = accountOf(1);
    if (account === undefined) {
      t.skip('the host has no user 1');
      return;
    }
    assert.equal(accountOf(4_000_000), undefined);
    const groups = { gid: account.gid, groups: account.groups };
    assert.equal(reachOfUser({ uid: 1, gid: 1, groups: [] }, socket).verdict, 'yes');
    chownSync(socket, 0, GROUP);
    const { verdict, fix } = reachOfUser({ uid: 1, ...groups }, socket);
    assert.deepEqual([verdict, /give it the group 3999999/.test(fix!)], ['no', true]);
    assert.equal(reachOfUser({ uid: 1, ...groups }, socket).command, undefined, 'the group has no name');
    chownSync(socket, 0, 50);
    const name = groupName(50);
    const { command } = reachOfUser({ uid: 1, gid: 1, groups: [] }, socket);
    assert.equal(command, name && `usermod -aG ${name} ${account.name}`);
    chownSync(socket, 0, account.gid);
    const again = reachOfUser({ uid: 1, gid: 4_000_000, groups: [] }, socket);
    assert.deepEqual([again.command, /is in the group \d+ by now: start it again/.test(again.fix!)], [undefined, true]);
    chownSync(socket, 0, GROUP);
    const { users, unfinished } = await unreachableUsers(new Set([0, 1, 4_000_000]), socket);
    assert.equal(unfinished, undefined);
    assert.deepEqual(
      users.map(({ uid }) => uid),
      [1],
    );
    chmodSync(socket, 0o666);
    assert.deepEqual((await unreachableUsers(new Set([1]), socket)).users, []);
  });

  it('a socket behind a symbolic link, and one that is gone', async (t) => {
    const { directory, socket } = await listen(t);
    const link = path.join(tempDir(t), 'link');
    symlinkSync(directory, link);
    assert.equal(reachOf(process.pid, path.join(link, 'agent.sock')).verdict, 'yes');
    assert.match(reachOf(process.pid, `${socket}.gone`).detail, /does not exist$/);
    assert.equal(reachOf(4_194_303, socket).verdict, 'unknown');
  });
});
