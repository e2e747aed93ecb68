import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareContainment, createWhyContained, isInOtherContainer } from '../../src/attest/contained.ts';
import { readStatus } from '../../src/attest/proc/status.ts';
import { endAfter } from '../support/caller.ts';
import { until } from '../support/process-state.ts';

const ID = `${'a'.repeat(63)}1`;
const OTHER = `0${'b'.repeat(63)}`;

/** A caller's cgroup, Sidekey's own, and whether the caller is in a container that Sidekey is not in. */
const CGROUPS: readonly [title: string, path: string, own: string, contained: boolean][] = [
  ['the root', '/', '/system.slice/sidekey.service', false],
  ['a unit beside it', '/system.slice/envoy.service', '/system.slice/sidekey.service', false],
  ['its own cgroup', '/system.slice/sidekey.service', '/system.slice/sidekey.service', false],
  ['a session of a user', '/user.slice/user-1000.slice/session-3.scope', '/', false],
  ['a snap', '/system.slice/snap.envoy.envoy-1a2b.scope', '/', false],
  ['what is removed', '/system.slice/envoy.service (deleted)', '/', false],
  ['63 digits', `/docker/${ID.slice(1)}`, '/', false],
  ['65 digits', `/docker/${ID}1`, '/', false],
  ['digits in upper case', `/docker/${ID.toUpperCase()}`, '/', false],
  ['an id within a name', `/system.slice/x${ID}`, '/', false],
  ['an id before something else', `/system.slice/${ID}.slice`, '/', false],
  ['a name with line ends of other kinds', `/system.slice/x\r${ID.slice(2)}\n`, '/', false],
  ['Docker, cgroupfs', `/docker/${ID}`, '/', true],
  ['Docker, systemd', `/system.slice/docker-${ID}.scope`, '/system.slice/sidekey.service', true],
  ['Docker, with cgroups of its own below', `/docker/${ID}/init.scope`, '/', true],
  ['Docker, removed', `/docker/${ID} (deleted)`, '/', true],
  ['Docker, another parent', `/group/of/mine/${ID}`, '/', true],
  ['Podman, rootless', `/user.slice/user-1.slice/user@1.service/user.slice/libpod-${ID}.scope/container`, '/', true],
  ['Podman, split', `/system.slice/web.service/libpod-payload-${ID}`, '/', true],
  ['containerd', `/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:${ID}`, '/', true],
  ['CRI-O', `/kubepods.slice/kubepods-pod1.slice/crio-${ID}.scope`, '/', true],
  ['Kubernetes, cgroupfs', `/kubepods/burstable/pod1/${ID}`, '/', true],
  ['a pod, whatever its container', '/kubepods.slice/kubepods-besteffort.slice/odd', '/', true],
  ['LXC', '/lxc.payload.web/system.slice/envoy.service', '/', true],
  ['LXC, as it was', '/lxc/web/system.slice', '/', true],
  ['LXC, as it was for a while', '/lxc.payload/web', '/', true],
  ['the parent of all LXC', '/lxc', '/', false],
  ['its monitor', '/lxc.monitor.web', '/', false],
  ['systemd-nspawn and libvirt', '/machine.slice/machine-web.scope', '/', true],
  ['the slice of these', '/machine.slice', '/', false],
  ['a slice that is named alike', '/machine-web.slice', '/', false],

  ["Sidekey's own container", `/docker/${ID}`, `/docker/${ID}`, false],
  ['a cgroup beside it in there', `/docker/${ID}/envoy`, `/docker/${ID}/sidekey`, false],
  ['another container', `/docker/${OTHER}`, `/docker/${ID}`, true],
  ["a container in Sidekey's own", `/docker/${ID}/docker/${OTHER}`, `/docker/${ID}/init`, true],
  ['the host, from a container', '/system.slice/envoy.service', `/docker/${ID}`, false],
  ["Sidekey's LXC", '/lxc.payload.ci/user.slice/x.scope', '/lxc.payload.ci/system.slice/sidekey.service', false],
  ["Docker in Sidekey's LXC", `/lxc.payload.ci/system.slice/docker-${ID}.scope`, '/lxc.payload.ci/x', true],
  ['another LXC', '/lxc.payload.web/x', '/lxc.payload.ci/x', true],
  ['another LXC, as it was', '/lxc/web/x', '/lxc/ci/x', true],
  ["Sidekey's LXC, as it was", '/lxc/ci/x', '/lxc/ci/y', false],
  ["another container of Sidekey's pod", `/kubepods/pod1/${OTHER}`, `/kubepods/pod1/${ID}`, true],
  ['another pod', `/kubepods/pod2/${OTHER}`, `/kubepods/pod1/${ID}`, true],

  ["Sidekey's own container, seen from its cgroup namespace", '/', '/', false],
  ['a cgroup in there', '/envoy', '/sidekey', false],
  ['a container in there', `/docker/${OTHER}`, '/', true],
  ['another container, by cgroupfs', `/../${OTHER}`, '/', true],
  ['another container, by systemd', `/../../system.slice/docker-${OTHER}.scope`, '/', true],
  ['the host, from there', '/../../user.slice/user-0.slice', '/', false],
  ['the cgroup above', '/..', '/', false],
];

describe('a cgroup of a container that Sidekey is not in', () => {
  for (const [title, path, own, contained] of CGROUPS) {
    it(`${contained ? 'is' : 'is not'} ${title}`, () => assert.equal(isInOtherContainer(path, own), contained));
  }

  const plainPart = fc
    .string({ unit: fc.constantFrom(...'abz019.-_@:\r\u2028'), minLength: 1, maxLength: 12 })
    .filter((part) => !/^(kubepods|lxc|machine-|\.\.?$)/.test(part));
  const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 });
  const prefix = fc.constantFrom('', 'docker-', 'libpod-', 'crio-', 'cri-containerd-', 'x.slice:cri-containerd:');
  const runtimePart = fc.oneof(
    fc.tuple(prefix, hex, fc.constantFrom('', '.scope')).map((parts) => parts.join('')),
    plainPart.map((part) => `kubepods${part}`),
    plainPart.map((part) => `lxc.payload.${part}`),
    plainPart.map((part) => `machine-${part}.scope`),
    plainPart.map((part) => `lxc/${part}`),
  );
  const parts = fc.array(plainPart, { maxLength: 4 });
  const place = (...lists: readonly string[][]) => `/${lists.flat().join('/')}`;

  it('is each that has a part of a runtime beyond what it has in common with that of Sidekey', () => {
    fc.assert(
      fc.property(parts, parts, runtimePart, parts, (common, ours, made, below) => {
        assert.ok(isInOtherContainer(place(common, [made], below), place(common, ours)));
        assert.ok(isInOtherContainer(`/..${place(common, [made], below)}`, '/'));
      }),
    );
  });

  it('is none that has no such part, and none in the container of Sidekey', () => {
    fc.assert(
      fc.property(parts, runtimePart, parts, parts, (above, made, ours, others) => {
        assert.ok(!isInOtherContainer(place(above, others), place(above, [made], ours)));
        assert.ok(!isInOtherContainer(place(above, [made], others), place(above, [made], ours)));
      }),
    );
  });
});

describe('a process counts as contained', () => {
  const own = { pidNamespaces: 1, uidMap: 'all', cgroups: [{ hierarchy: '', path: '/sidekey' }] };
  const docker = [
    { hierarchy: 'cpu', path: '/' },
    { hierarchy: '', path: `/docker/${ID}` },
  ];

  it('by each of the three signs alone', () => {
    assert.equal(compareContainment(own, own), undefined);
    assert.match(compareContainment({ ...own, pidNamespaces: 2 }, own)!, /pid namespace/);
    assert.match(compareContainment({ ...own, uidMap: 'some' }, own)!, /user namespace/);
    assert.match(compareContainment({ ...own, cgroups: docker }, own)!, /cgroup/);
  });

  it('by its cgroup before its user namespace, which the admin socket lets pass for processes outside of that of Sidekey', () => {
    assert.match(compareContainment({ ...own, uidMap: 'all of the host', cgroups: docker }, own)!, /cgroup/);
  });

  it('where one of them cannot be read, or is not as it can be', () => {
    for (const unknown of [{ pidNamespaces: undefined }, { uidMap: undefined }, { cgroups: undefined }]) {
      assert.match(compareContainment({ ...own, ...unknown }, own)!, /cannot be read/);
    }
    assert.match(compareContainment({ ...own, pidNamespaces: 0 }, own)!, /cannot be read/);
  });

  it('by no sign that the kernel does not have', () => {
    const none = { pidNamespaces: undefined, uidMap: undefined, cgroups: undefined };
    assert.equal(compareContainment({ ...own, cgroups: docker }, none), undefined);
    assert.match(compareContainment({ ...own, cgroups: docker }, { ...none, cgroups: own.cgroups })!, /cgroup/);
  });

  it('in a hierarchy that Sidekey is not in', () => {
    const cgroups = [...own.cgroups, { hierarchy: 'memory', path: `/docker/${ID}` }];
    assert.match(compareContainment({ ...own, cgroups }, own)!, /cgroup/);
  });
});

it('this process is not in another container than itself, and one that is not there counts as contained', () => {
  const why = createWhyContained();
  assert.equal(why(process.pid, readStatus(process.pid)), undefined);
  assert.match(why(0, undefined)!, /pid namespace that Sidekey does not see/);
  assert.match(why(process.pid, undefined)!, /cannot be read/);
  // A number that no process has.
  assert.match(why(4_194_304, readStatus(process.pid))!, /cannot be read/);
});

/** Ends its main thread, and goes on in another one. */
const WITHOUT_MAIN_THREAD = `
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)`;

it('a process without its main thread counts as contained: of its cgroups the kernel may say that they are the root', async (t) => {
  const child = spawn('python3', ['-c', WITHOUT_MAIN_THREAD], { stdio: 'ignore' });
  const missing = await new Promise((resolve) => child.once('spawn', () => resolve(false)).once('error', resolve));
  if (missing) return t.skip('there is no python3 here, whose main thread may end alone');
  endAfter(t, child);
  const why = createWhyContained();
  await until(() => readStatus(child.pid!).mainThreadEnded);
  assert.match(why(child.pid!, readStatus(child.pid!))!, /cannot be read/);
});
