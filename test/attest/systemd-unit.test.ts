import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCgroupLines } from '../../src/attest/proc/cgroup.ts';
import { isUnitWithProcesses, unitOf } from '../../src/attest/systemd/unit.ts';

const ID = 'ab'.repeat(32);

/** What `/proc/PID/cgroup` holds, and the unit. */
const PLACES: readonly (readonly [title: string, text: string, unit: string | undefined])[] = [
  ['a service, v2', '0::/system.slice/web.service\n', 'web.service'],
  ['a service, v1', '4:memory:/system.slice/web.service\n1:name=systemd:/system.slice/web.service\n', 'web.service'],
  [
    'a service, hybrid',
    '4:memory:/system.slice/web.service\n1:name=systemd:/system.slice/web.service\n0::/system.slice/web.service\n',
    'web.service',
  ],
  ['an instance', '0::/system.slice/system-getty.slice/getty@tty1.service\n', 'getty@tty1.service'],
  [
    'an instance with an escaped name',
    '0::/system.slice/fsck@dev-disk-by\\x2dlabel-a.service\n',
    'fsck@dev-disk-by\\x2dlabel-a.service',
  ],
  ['a service in no slice', '0::/web.service\n', 'web.service'],
  ['the manager itself', '0::/init.scope\n', 'init.scope'],
  ['a mount', '0::/system.slice/srv-data.mount\n', 'srv-data.mount'],
  ['a socket and its program', '0::/system.slice/dbus.socket\n', 'dbus.socket'],
  ['a swap', '0::/system.slice/dev-sda2.swap\n', 'dev-sda2.swap'],
  ['a session', '0::/user.slice/user-1000.slice/session-3.scope\n', 'session-3.scope'],
  ["a user's own manager", '0::/user.slice/user-1000.slice/user@1000.service/init.scope\n', 'user@1000.service'],
  [
    "a unit of a user's own manager",
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/evil.service\n',
    'user@1000.service',
  ],
  [
    'the same in the hierarchy of version 1',
    '1:name=systemd:/user.slice/user-1000.slice/user@1000.service/system.slice/web.service\n0::/system.slice/other.service\n',
    'user@1000.service',
  ],
  ['a subtree that a service has', '0::/system.slice/web.service/system.slice/evil.service\n', 'web.service'],
  ['a name that the manager escaped', '0::/system.slice/_cpu.service\n', 'cpu.service'],
  ['a name with an underscore', '0::/system.slice/__hidden.service\n', '_hidden.service'],

  ['no cgroup but the root', '9:name=systemd:/\n0::/\n', undefined],
  ['the root of version 1, and a unit in version 2', '9:name=systemd:/\n0::/system.slice/web.service\n', undefined],
  ['slices alone', '0::/system.slice\n', undefined],
  ['version 1 without the manager', '4:memory:/system.slice/web.service\n', undefined],
  ['another manager', '1:name=elogind:/system.slice/web.service\n', undefined],
  ['a first part that is no unit', '0::/user/alice/0/web.service\n', undefined],
  ['a first part that is no unit, in a slice', '0::/system.slice/x/web.service\n', undefined],
  ['a type that has no processes', '0::/system.slice/web.timer\n', undefined],
  ['a template', '0::/system.slice/getty@.service\n', undefined],
  ['a slice with an instance', '0::/a@b.slice/web.service\n', undefined],
  ['a slice without a name', '0::/.slice/web.service\n', undefined],
  ['a slice of another form', '0::/a b.slice/web.service\n', undefined],
  ['a cgroup that was removed', '0::/system.slice/web.service (deleted)\n', undefined],
  ['a name of more than 255 characters', `0::/${'a'.repeat(248)}.service\n`, undefined],
  ['a name with another character', '0::/system.slice/w\r.service\n', undefined],
  ['a way out of the namespace', '0::/../web.service\n', undefined],
  ['a way out of the namespace and on', '0::/../../system.slice/web.service\n', undefined],

  ['a container of Docker, by the manager', `0::/system.slice/docker-${ID}.scope\n`, undefined],
  ['a container of Docker', `0::/docker/${ID}\n`, undefined],
  ["a container in a unit's cgroup (--cgroup-parent)", `0::/system.slice/web.service/${ID}\n`, undefined],
  [
    'a container that has a cgroup in one other hierarchy only',
    `4:memory:/docker/${ID}\n1:name=systemd:/system.slice/web.service\n`,
    undefined,
  ],
  ['a pod', '0::/kubepods.slice/kubepods-besteffort.slice/x.service\n', undefined],
  ['a machine with a manager of its own', '0::/machine.slice/machine-a.scope/system.slice/web.service\n', undefined],
  ['LXC with a manager of its own', '0::/lxc.payload.a/system.slice/web.service\n', undefined],
  [
    'nspawn with a manager of its own: the unit of the host',
    '0::/machine.slice/systemd-nspawn@a.service/payload/system.slice/web.service\n',
    'systemd-nspawn@a.service',
  ],
];

for (const [title, text, unit] of PLACES) {
  test(`${title}: ${unit ?? 'no unit'}`, () => {
    assert.equal(unitOf(parseCgroupLines(text)), unit);
  });
}

test('whatever a subtree of a unit is called, it is of that unit or, named as a container, of none', () => {
  const name = fc.oneof(
    fc.string({ minLength: 1 }).filter((text) => !/[\n/]/.test(text)),
    fc.constantFrom('system.slice', 'web.service', '..', '_web.service', 'lxc', `docker-${ID}.scope`, 'a (deleted)'),
  );
  fc.assert(
    fc.property(fc.array(name, { maxLength: 6 }), fc.boolean(), (below, isFirst) => {
      const path = ['/user.slice', 'user-1000.slice', 'user@1000.service', ...below].join('/');
      const line = isFirst ? `1:name=systemd:${path}\n` : `0::${path}\n`;
      assert.ok(['user@1000.service', undefined].includes(unitOf(parseCgroupLines(line))), path);
    }),
  );
});

test('what is told of a process is a name that an entry may have', () => {
  const part = fc.oneof(fc.constantFrom('a.slice', 'b.service', 'x', 'c@d.scope', '_e.mount'), fc.string());
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      const unit = unitOf([{ hierarchy: '', path: `/${parts.join('/')}` }]);
      assert.ok(unit === undefined || isUnitWithProcesses(unit), unit);
    }),
  );
});
