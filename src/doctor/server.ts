/** The checks of a server and its host: by what the server says of itself, and what is to be seen from here. */

import type { DoctorJson } from '../admin/doctor-schema.ts';
import type { Finding } from '../base/finding.ts';
import { judgeAuthority } from './authority.ts';
import type { Check } from './check.ts';
import { judgeDataDir } from './data-dir.ts';
import { judgeEntries } from './entries.ts';
import { judgeHost } from './host.ts';
import { judgeInputs } from './inputs.ts';
import { type FindListener, judgeListeners } from './listeners.ts';
import { restartCommand, viewProcess } from './restart.ts';
import { judgeAdminSocket, judgePipe, judgeSilence } from './sockets.ts';

/**
 * Of what a server that runs says of itself.
 *
 * @param now of the clock here
 * @param here what tells which process listens on a socket; undefined where the server's files can't be looked at from here
 */
export function serverChecks(known: DoctorJson, now: number, here: FindListener | undefined): Check[] {
  const { socket, admin_socket: admin, data_dir: dataDir, uid } = known;
  const judged = (name: string, findings: () => Finding[] | Promise<Finding[]>): Check => ({
    name,
    run: async () => ({ findings: await findings(), skipped: [] }),
  });
  const process = here && viewProcess(known.pid);
  const restart = (...flags: string[]) => process && restartCommand(known.pid, process, flags);
  const far = { what: `sockets and files of ${known.data_dir}`, why: 'the server is asked over a URL: run it there' };
  return [
    ...(here !== undefined
      ? [
          { name: 'pipe', run: () => judgePipe(socket, uid, restart()) },
          judged('admin-socket', () => judgeAdminSocket(admin, uid)),
          { name: 'listeners', run: () => judgeListeners({ pipe: socket, admin }, here) },
          { name: 'inputs', run: async () => judgeInputs(known.inputs, uid) },
          { name: 'data-dir', run: async () => judgeDataDir(dataDir, uid) },
        ]
      : [{ name: 'files', run: async () => ({ findings: [], skipped: [far] }) }]),
    judged('authority', () => judgeAuthority(known, now)),
    judged('host', () => judgeHost(known, restart)),
    judged('entries', () => judgeEntries(known)),
  ];
}

/** Where no server answers on its socket. @param env where settings of `serve` may stand */
export function silenceCheck(adminSocket: string, env: NodeJS.ProcessEnv): Check {
  return { name: 'server', run: async () => ({ findings: await judgeSilence(adminSocket, env), skipped: [] }) };
}
