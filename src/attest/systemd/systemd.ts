/**
 * The systemd attestor: the caller's unit of the system manager. It always runs.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_systemd.md
 */

import type { AttestorDescription } from '../description.ts';
import { isUnitWithProcesses, TYPES_WITH_PROCESSES } from './unit.ts';

export const SYSTEMD: AttestorDescription = {
  type: 'systemd',
  kinds: {
    id: {
      fits: isUnitWithProcesses,
      rule: `it is the full name of a unit that has processes (${TYPES_WITH_PROCESSES.map((type) => `.${type}`).join(', ')}), such as web.service or getty@tty1.service`,
      source: 'the kernel: /proc/PID/cgroup',
      onDemand: 'kind',
      rendered: 'root, who writes the units',
    },
  },
  example: 'id:web.service',
  settings: {},
  isOn: () => true,
  create: async ({ asked }) => {
    const { createSystemdAttestor } = await import('./attestor.ts');
    return createSystemdAttestor({ wantUnit: () => asked.asksFor('systemd:id') });
  },
};
