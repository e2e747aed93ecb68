/**
 * The systemd attestor: finds the caller's unit of the system manager by its cgroup. A process can't leave its unit's
 * cgroup without write access to another one.
 *
 * If Sidekey has its own cgroup namespace, as in a container, no caller has these selectors: paths are relative to
 * Sidekey's cgroup there, and processes of its container could create a cgroup `web.service` in it.
 */

import fs from 'node:fs';
import type { RunningAttestor } from '../description.ts';
import { readCgroup } from '../proc/cgroup.ts';
import { seesWholePaths } from '../proc/cgroup-namespace.ts';
import type { FurtherFacts } from '../types.ts';
import { unitOf } from './unit.ts';

export interface SystemdAttestorOptions {
  /** Called at each attestation: true if an entry asks for a unit. */
  readonly wantUnit: () => boolean;
  /** The reason why Sidekey can't see callers' units here; undefined if it can. */
  readonly blind?: string | undefined;
}

export function createSystemdAttestor({ wantUnit, blind = whyBlind() }: SystemdAttestorOptions): RunningAttestor {
  return {
    name: 'systemd',
    async attest({ pid }, everything = false, remark = () => undefined, tell = () => undefined) {
      if (blind !== undefined) {
        if (wantUnit()) remark(blind);
        return [];
      }
      if (!everything && !wantUnit()) return [];
      const unit = unitOf(readCgroup(pid));
      tell(furtherFacts(unit));
      return unit === undefined ? [] : [{ type: 'systemd', value: `id:${unit}` }];
    },
    whyNever: () => blind,
  };
}

/** A process without a unit may be in one that its cgroup does not show, as in a container: nothing is known of it. */
function furtherFacts(unit: string | undefined): FurtherFacts {
  return {
    lacks: ({ value }) => unit !== undefined && value !== `id:${unit}`,
    valueFor: () => (unit === undefined ? { why: 'the caller is in no unit of the system manager' } : { value: unit }),
  };
}

const OWN_NAMESPACE =
  "Sidekey is in its own cgroup namespace, where it cannot distinguish the host's units from cgroups of its container: run it on the host, or in the host's cgroup namespace (docker run --cgroupns=host)";

/** The reason why this process can't see units; undefined if it can. */
function whyBlind(): string | undefined {
  if (!fs.existsSync('/proc/self/cgroup')) return 'the kernel shows no cgroups';
  try {
    return seesWholePaths() ? undefined : OWN_NAMESPACE;
  } catch {
    return 'the cgroup namespace of Sidekey cannot be read';
  }
}
