import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { isInOtherContainer } from '../../src/attest/contained.ts';
import { isSameContainer, parseCgroup } from '../../src/attest/docker/cgroup.ts';
import { ownContainerId } from '../../src/attest/docker/own-container.ts';
import { parseCgroupLines } from '../../src/attest/proc/cgroup.ts';
import { parseMountinfo } from '../../src/attest/proc/mountinfo.ts';

const A = '3ccf15f6e39aa0ecb8093c50b48bae3998ffa5ba64f86094ac7e1683b44caae2';
const B = '50dd10e5e915b4029c5db70e98c65852869607cae24d2810adb18f699880882d';
const POD = 'kubepods-burstable-pod0fe13ba7_21ff_4ee6_a3fb_1b6a2c8a6c5e.slice';
const USER = '/user.slice/user-1000.slice/user@1000.service';

/** As the kernel wrote them (6.18). */
function captured(name: string): string {
  return fs.readFileSync(new URL(`fixtures/cgroup/${name}`, import.meta.url), 'latin1');
}

/** The setting, its /proc/PID/cgroup, and the id in it. */
const SETTINGS: readonly [name: string, cgroup: string, id: string | undefined][] = [
  ['Docker, v1, cgroupfs', captured('v1-docker-cgroupfs.cgroup'), A],
  ['Docker, v1, seen from a container with a namespace of its own', captured('v1-private-reader.cgroup'), B],
  [
    'Docker, v1, a pod as parent',
    captured('v1-kubepods-parent.cgroup'),
    '0d2cab6fe219ba92740e3ee0a88469d81d7952c6b9eeb2527540859b1931cb07',
  ],
  ['Docker, v2, cgroupfs', `0::/docker/${A}\n`, A],
  ['Docker, v2, systemd', `0::/system.slice/docker-${A}.scope\n`, A],
  ['Docker, v2, seen from a container with a namespace of its own', `0::/../${A}\n`, A],
  ['Docker, v2, systemd, seen from such a container', `0::/../docker-${A}.scope\n`, A],
  ['Docker, v2, another parent', `0::/tenants/blue/${A}\n`, A],
  ['Docker, rootless', `0::${USER}/user.slice/docker-${A}.scope\n`, A],
  [
    'Docker, v1, several controllers in a hierarchy',
    `12:cpu,cpuacct:/docker/${A}\n1:name=systemd:/docker/${A}\n0::/\n`,
    A,
  ],
  ['Docker in Docker: the inner one', `0::/docker/${B}/docker/${A}\n`, A],
  ['an init system in a container', `0::/docker/${A}/init.scope\n`, A],
  ['an init system in a container, v1', `2:pids:/docker/${A}\n1:name=systemd:/docker/${A}/system.slice/x.service\n`, A],
  [
    'Podman, v1, cgroupfs',
    captured('v1-podman-cgroupfs.cgroup'),
    'ac609d720c90bbf88c6191f615c4a64124eaf5ab59b97da416d3d9489f3baeb6',
  ],
  ['Podman, systemd', `0::/machine.slice/libpod-${A}.scope/container\n`, A],
  ['Podman, runc', `0::/machine.slice/libpod-${A}.scope\n`, A],
  ['Podman, cgroupfs', `0::/libpod_parent/libpod-${A}\n`, A],
  ['Podman, rootless', `0::${USER}/user.slice/libpod-${A}.scope/container\n`, A],
  ['Podman, a pod', `0::/machine.slice/machine-libpod_pod_${B}.slice/libpod-${A}.scope/container\n`, A],
  ['Podman, split', `0::/system.slice/web.service/libpod-payload-${A}\n`, A],
  ["Podman's monitor", `0::/machine.slice/libpod-conmon-${A}.scope\n`, undefined],
  ['the slice of a pod', `0::/machine.slice/machine-libpod_pod_${B}.slice\n`, undefined],
  ['Kubernetes, containerd, systemd', `0::/kubepods.slice/${POD}/cri-containerd-${A}.scope\n`, A],
  ['Kubernetes, containerd, colons', `0::/system.slice/containerd.service/${POD}:cri-containerd:${A}\n`, A],
  ['Kubernetes, CRI-O', `0::/kubepods.slice/${POD}/crio-${A}.scope\n`, A],
  ["CRI-O's monitor", `0::/kubepods.slice/${POD}/crio-conmon-${A}.scope\n`, undefined],
  ['Kubernetes in Docker', `0::/docker/${B}/kubelet/kubepods/besteffort/pod1/${A}\n`, A],
  ['Docker, v2, systemd, a slice as parent', `0::/tenants.slice/tenants-blue.slice/docker-${A}.scope\n`, A],
  ['Docker, v2, systemd, an init system in it', `0::/system.slice/docker-${A}.scope/system.slice/web.service\n`, A],
  ['Docker, v2, systemd, seen from two cgroups below', `0::/../../system.slice/docker-${A}.scope/init.scope\n`, A],
  ['Docker in Docker, v2, systemd', `0::/system.slice/docker-${B}.scope/docker/${A}\n`, A],
  ['Docker in Docker, v2, both by systemd', `0::/system.slice/docker-${B}.scope/system.slice/docker-${A}.scope\n`, A],
  [
    'Docker, v1 and v2 at once, systemd',
    `4:memory:/system.slice/docker-${A}.scope\n0::/system.slice/docker-${A}.scope\n`,
    A,
  ],
  ['Podman, v2, seen from a container of its own', `0::/../../libpod-${A}.scope/container\n`, A],
  ['Podman, v2, an init system in it', `0::/machine.slice/libpod-${A}.scope/container/system.slice/web.service\n`, A],
  ['Podman, split, cgroups below', `0::/system.slice/web.service/libpod-payload-${A}/container\n`, A],
  ['Podman, split, seen from a container', `0::/../../web.service/libpod-payload-${A}\n`, A],
  ["Podman's monitor, split", `0::/system.slice/web.service/supervisor\n`, undefined],
  ["Podman's monitor, cgroupfs", `0::/libpod_parent/conmon-${A}\n`, undefined],
  ['nerdctl, systemd', `0::/system.slice/nerdctl-${A}.scope\n`, A],
  ['containerd, cgroupfs', `0::/default/${A}\n`, A],
  ['Kubernetes, CRI-O, cgroupfs', `0::/kubepods/burstable/pod0fe13ba7/crio-${A}\n`, A],
  ['Kubernetes, CRI-O, crun', `0::/kubepods.slice/${POD}/crio-${A}.scope/container\n`, A],
  ['Kubernetes, containerd, seen from a pod', `0::/../../${POD}/cri-containerd-${A}.scope\n`, A],
  // Whoever may make a cgroup chooses its name: these name whom the engine is asked about, and prove nothing.
  ['a cgroup of a user that is named after a container', `0::${USER}/app.slice/docker-${A}.scope\n`, A],
  ['a cgroup in a container that is named after another', `0::/docker/${B}/libpod-${A}.scope\n`, A],
  ['a cgroup in a container that is named as a monitor', `0::/docker/${B}/conmon-${A}\n`, undefined],
  ['a name with two ids', `0::/docker/${B}:${A}\n`, A],
  ['a name that looks like a line', `0::/12:pids:/docker/${A}\n`, A],
  ['a name with the end of another line in it', `0::/x\r0::/docker/${A}\n`, A],
  ['an id before a carriage return', `0::/docker/${A}\r\n`, undefined],
  ['an id before the bytes of U+2028', `0::/docker/${A}\u00e2\u0080\u00a8\n`, undefined],
  ['an id before a space', `0::/docker/${A} \n`, undefined],
  ['an id before a backslash', `0::/docker/${A}\\012\n`, undefined],
  ['an id that is a slice', `0::/docker-${A}.slice\n`, undefined],
  ['an id with two ends', `0::/docker-${A}.scope.scope\n`, undefined],
  ['the host', '0::/system.slice/ssh.service\n', undefined],
  ['the host, v1', '4:memory:/user.slice\n1:name=systemd:/user.slice/user-0.slice/session-1.scope\n0::/\n', undefined],
  ['32 digits', `4:memory:/jobs/${A.slice(32)}\n`, undefined],
  ['63 digits', `0::/docker/${A.slice(1)}\n`, undefined],
  ['65 digits', `0::/docker/${A}0\n`, undefined],
  ['upper case', `0::/docker/${A.toUpperCase()}\n`, undefined],
  ['digits in a longer word', `0::/docker/x${A}\n`, undefined],
  ['a removed cgroup', `0::/docker/${A} (deleted)\n`, undefined],
  ['nothing', '', undefined],
];

for (const [name, cgroup, id] of SETTINGS) {
  test(`${name}: ${id === undefined ? 'no container' : 'the container'}`, () => {
    assert.equal(parseCgroup(cgroup).id, id);
  });
}

test('two containers at once are refused, and both named', () => {
  const cgroup = `9:pids:/docker/${A}\n0::/docker/${B}\n`;
  assert.throws(() => parseCgroup(cgroup), { code: 'ERR_ATTESTATION_FAILED', message: new RegExp(`${A} and ${B}`) });
});

test('what is no cgroup file is refused', () => {
  for (const text of [`docker/${A}`, `0::docker/${A}`, `0:/docker/${A}`, 'Name:\tnode\n']) {
    assert.throws(() => parseCgroup(text), { code: 'ERR_PROC' }, text);
  }
});

test('whatever the file holds, an id is 64 hexadecimal digits that stand in it', () => {
  const part = fc.constantFrom('docker', A, B, `docker-${A}.scope`, '..', 'x', '', `conmon-${B}`, A.slice(1));
  const line = fc.tuple(fc.constantFrom('', 'memory', 'name=systemd'), fc.array(part, { maxLength: 5 }));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 4 }), (lines) => {
      const text = lines.map(([hierarchy, parts]) => `1:${hierarchy}:/${parts.join('/')}\n`).join('');
      let id: string | undefined;
      try {
        ({ id } = parseCgroup(text));
      } catch (error) {
        assert.match((error as { code: string }).code, /^ERR_(ATTESTATION_FAILED|PROC)$/);
      }
      assert.ok(id === undefined || (/^[0-9a-f]{64}$/.test(id) && text.includes(id)));
    }),
  );
});

test('a process is in the container whose cgroup it is in, or below', () => {
  const main = parseCgroup(`9:pids:/docker/${A}\n0::/docker/${A}\n`);
  assert.ok(isSameContainer(main, main));
  assert.ok(isSameContainer(parseCgroup(`9:pids:/docker/${A}/job\n0::/docker/${A}/init.scope\n`), main));
  assert.ok(!isSameContainer(parseCgroup(`9:pids:/docker/${B}\n0::/docker/${B}\n`), main));
  assert.ok(!isSameContainer(parseCgroup('0::/\n'), main));
  assert.ok(!isSameContainer(parseCgroup('0::/\n'), parseCgroup('0::/\n')), 'nobody is in no container');
});

test('a cgroup that only has the name of a container does not pass for it', () => {
  const main = parseCgroup(`0::/system.slice/docker-${A}.scope\n`);
  for (const elsewhere of [`${USER}/app.slice/docker-${A}.scope`, `/docker/${B}/system.slice/docker-${A}.scope`]) {
    assert.ok(!isSameContainer(parseCgroup(`0::${elsewhere}\n`), main), elsewhere);
  }
  const mainOfV1 = parseCgroup(`9:pids:/docker/${A}\n1:name=systemd:/docker/${A}\n`);
  const inOneHierarchy = parseCgroup(`9:pids:/user.slice\n1:name=systemd:/docker/${A}\n`);
  assert.ok(!isSameContainer(inOneHierarchy, mainOfV1));
});

const PART = fc.constantFrom(
  ...['docker', 'system.slice', '..', 'x', A, B, `docker-${A}.scope`, `docker-${B}.scope`, `libpod-payload-${A}`],
  ...[`libpod-${A}.scope`, 'container', `conmon-${A}`, `x:${A}`, `${A}\r`, `${A}:${B}`, `12:pids:`, 'init.scope'],
);
const PATH = fc.array(PART, { minLength: 1, maxLength: 5 }).map((parts) => `/${parts.join('/')}`);

test('no name makes a process one of a container whose cgroup it is neither in nor below', () => {
  fc.assert(
    fc.property(PATH, PATH, (main, caller) => {
      const known = parseCgroup(`0::${main}\n`);
      const isIt = isSameContainer(parseCgroup(`0::${caller}\n`), known);
      const place = known.containers.get('');
      assert.equal(isIt, place !== undefined && parseCgroup(`0::${caller}\n`).containers.get('') === place);
      if (isIt) assert.ok(caller === place || caller.startsWith(`${place}/`), `${caller} is not in ${place}`);
    }),
  );
});

test('whoever is in a container by the docker attestor counts as contained, and so do those beside it', () => {
  fc.assert(
    fc.property(PATH, (path) => {
      if (parseCgroup(`0::${path}\n`).id !== undefined) assert.ok(isInOtherContainer(path, '/'), path);
    }),
  );
  for (const [name, text, id] of SETTINGS) {
    const paths = parseCgroupLines(text).map(({ path }) => path);
    if (id !== undefined)
      assert.ok(
        paths.some((path) => isInOtherContainer(path, '/')),
        name,
      );
  }
});

test('a path that leads out of the namespace is told', () => {
  assert.ok(parseCgroup('4:memory:/\n0::/job\n').inNamespace);
  assert.ok(!parseCgroup(`0::/../${A}\n`).inNamespace);
  assert.ok(!parseCgroup('4:memory:/\n0::/..\n').inNamespace);
});

test('the own container is known by what the engine mounted from its directory', () => {
  assert.equal(ownContainerId(parseMountinfo(captured('docker.mountinfo'))), A);
  const podman = `571 564 0:45 /containers/overlay-containers/${B}/userdata/.containerenv /run/.containerenv rw - tmpfs tmpfs rw\n`;
  assert.equal(ownContainerId(parseMountinfo(podman)), B);
});

test('the own container is not guessed', () => {
  const hostname = (id: string) => `9 2 254:0 /docker/containers/${id}/hostname /etc/hostname rw - ext4 /dev/vda rw\n`;
  assert.equal(ownContainerId(parseMountinfo(hostname(A) + hostname(B))), undefined, 'two of them');
  assert.equal(
    ownContainerId(parseMountinfo(`9 2 0:1 /volumes/${A}/_data /data rw - ext4 /dev/vda rw\n`)),
    undefined,
    'a volume',
  );
  assert.equal(
    ownContainerId(parseMountinfo(`9 2 0:1 /docker/${A} /sys/fs/cgroup rw - cgroup2 cgroup rw\n`)),
    undefined,
    'a cgroup',
  );
  assert.equal(ownContainerId(parseMountinfo(hostname(A.slice(1)))), undefined);
  assert.equal(ownContainerId(parseMountinfo('')), undefined);
});
