/**
 * The systemd attestor: the unit of the system manager that a caller belongs to, by the kernel's word: a process can't
 * leave its unit's cgroup without rights over another one.
 *
 * Where Sidekey is in a cgroup namespace of its own, such as in a container, nobody has such selectors: paths begin
 * at Sidekey's own cgroup there, below which its container's processes may call a cgroup `web.service`.
 */

import fs from 'node:fs';
import type { RunningAttestor } from '../description.ts';
import { readCgroup } from '../proc/cgroup.ts';
import { seesWholePaths } from '../proc/cgroup-namespace.ts';
import { unitOf } from './unit.ts';

export interface SystemdAttestorOptions {
  /** Asked at each attestation: whether some entry asks for a unit. */
  readonly wantUnit: () => boolean;
  /** Why the units of callers can't be known here; undefined where they can. */
  readonly blind?: string | undefined;
}

export function createSystemdAttestor({ wantUnit, blind = whyBlind() }: SystemdAttestorOptions): RunningAttestor {
  return {
    name: 'systemd',
    async attest({ pid }, everything = false, remark = () => undefined) {
      if (blind !== undefined) {
        if (wantUnit()) remark(blind);
        return [];
      }
      if (!everything && !wantUnit()) return [];
      const unit = unitOf(readCgroup(pid));
      return unit === undefined ? [] : [{ type: 'systemd', value: `id:${unit}` }];
    },
    whyNever: () => blind,
  };
}

const OWN_NAMESPACE =
  'Sidekey is in a cgroup namespace of its own, where units of the host are not to be told from cgroups of its container: run it outside, or with the cgroup namespace of the host (docker run --cgroupns=host)';

/** Why units can't be known by this process. */
function whyBlind(): string | undefined {
  if (!fs.existsSync('/proc/self/cgroup')) return 'the kernel shows no cgroups';
  try {
    return seesWholePaths() ? undefined : OWN_NAMESPACE;
  } catch {
    return 'the cgroup namespace of Sidekey can not be read';
  }
}
