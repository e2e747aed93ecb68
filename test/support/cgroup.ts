/** Cgroups of a test's own, in which a process looks as if it were in a container. */

import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** Version 2 alone, or what has a place for processes beside version 1. */
const ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/memory'];

/** Why no cgroup can be made here; undefined where one can. */
export function whyNoCgroup(): string | undefined {
  return root() === undefined
    ? 'no cgroup can be made here (root, and a cgroup file system that is writable)'
    : undefined;
}

export interface TestCgroup {
  /** Where it is mounted. */
  readonly folder: string;
  join(pid: number): void;
  /** Out of it, to where no name is that of a container. */
  leave(pid: number): void;
}

/** A new cgroup, `/sidekey-test-…/<name>`, and the way into it; removed after the test, with those that were made in it. */
export function makeCgroup(t: Pick<TestContext, 'after'>, name: string): TestCgroup {
  const above = fs.mkdtempSync(path.join(root()!, 'sidekey-test-'));
  fs.chmodSync(above, 0o755);
  const cgroup = path.join(above, name);
  fs.mkdirSync(cgroup);
  const members = path.join(cgroup, 'cgroup.procs');
  t.after(() => {
    remove(cgroup);
    fs.rmdirSync(above);
  });
  return {
    folder: cgroup,
    join: (pid) => fs.writeFileSync(members, String(pid)),
    leave: (pid) => fs.writeFileSync(path.join(root()!, 'cgroup.procs'), String(pid)),
  };
}

/** Where the system manager has its cgroups: of version 1, of both, of version 2 alone. */
const MANAGER_ROOTS = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'];

/**
 * A new cgroup in a slice of the test's own, where the system manager would have that of a unit: `name`, which may have
 * several parts. Needs what {@link makeCgroup} needs; removed after the test, with those that were made in it.
 */
export function makeUnitCgroup(t: Pick<TestContext, 'after'>, name: string): TestCgroup {
  const manager = MANAGER_ROOTS.find((candidate) => fs.existsSync(path.join(candidate, 'cgroup.procs')))!;
  const slice = path.join(manager, `sidekey-test-${randomUUID()}.slice`);
  const folder = path.join(slice, name);
  fs.mkdirSync(folder, { recursive: true });
  const members = (cgroup: string) => path.join(cgroup, 'cgroup.procs');
  t.after(() => remove(slice, manager));
  return {
    folder,
    join: (pid) => fs.writeFileSync(members(folder), String(pid)),
    leave: (pid) => fs.writeFileSync(members(manager), String(pid)),
  };
}

/** Moves a process into every cgroup that another one is in: into the container of that one, as `docker exec` does. */
export function joinCgroupsOf(other: number, pid: number): void {
  for (const line of fs.readFileSync(`/proc/${other}/cgroup`, 'latin1').split('\n')) {
    const [, hierarchy, ...cgroup] = line.split(':');
    if (hierarchy === undefined) continue;
    const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((mount) =>
      fs.existsSync(`${mount}/cgroup.procs`),
    );
    const mount = hierarchy === '' ? unified! : `/sys/fs/cgroup/${hierarchy.replace('name=', '')}`;
    fs.writeFileSync(path.join(mount, cgroup.join(':'), 'cgroup.procs'), String(pid));
  }
}

function remove(cgroup: string, above = root()!): void {
  for (const entry of fs.readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) remove(path.join(cgroup, entry.name), above);
  }
  for (const each of fs.readFileSync(path.join(cgroup, 'cgroup.procs'), 'utf8').split('\n')) {
    if (each !== '') fs.writeFileSync(path.join(above, 'cgroup.procs'), each);
  }
  fs.rmdirSync(cgroup);
}

function root(): string | undefined {
  return ROOTS.find((candidate) => {
    try {
      fs.rmdirSync(fs.mkdtempSync(path.join(candidate, 'sidekey-test-')));
      return fs.existsSync(path.join(candidate, 'cgroup.procs'));
    } catch {
      return false;
    }
  });
}
