/** The checks of a server and its host: by what the server says of itself, and what is to be seen from here. */

import type { DoctorJson } from '../admin/doctor-schema.ts';
import type { Finding } from '../base/finding.ts';
import { judgeAuthority } from './authority.ts';
import type { Check } from './check.ts';
import { judgeDataDir } from './data-dir.ts';
import { judgeEntries, judgeWithheld } from './entries.ts';
import { judgeHost } from './host.ts';
import { restartCommand, viewProcess } from './restart.ts';
import { judgeAdminSocket, judgeLayout, judgePipe, judgeSilence } from './sockets.ts';

/** What a server that runs says of itself; `here`: its files can be looked at from here. @param now of the clock here */
export function serverChecks(known: DoctorJson, now: number, here: boolean): Check[] {
  const { socket, admin_socket: admin, data_dir: dataDir, uid } = known;
  const judged = (name: string, findings: () => Finding[] | Promise<Finding[]>): Check => ({
    name,
    run: async () => ({ findings: await findings(), skipped: [] }),
  });
  const process = here ? viewProcess(known.pid) : undefined;
  const restart = (...flags: string[]) => process && restartCommand(known.pid, process, flags);
  const far = { what: `sockets and files of ${known.data_dir}`, why: 'the server is asked over a URL: run it there' };
  return [
    ...(here
      ? [
          { name: 'pipe', run: () => judgePipe(socket, uid, restart()) },
          judged('admin-socket', () => judgeAdminSocket(admin, uid)),
          judged('layout', () => judgeLayout(known)),
          { name: 'data-dir', run: async () => judgeDataDir(dataDir, uid) },
        ]
      : [{ name: 'files', run: async () => ({ findings: [], skipped: [far] }) }]),
    judged('authority', () => judgeAuthority(known, now)),
    judged('host', () => judgeHost(known, restart)),
    judged('entries', () => [...judgeWithheld(known), ...judgeEntries(known)]),
  ];
}

/**
 * Where no server answers on its socket.
 * @param env where settings of `serve` may stand
 * @param former where the socket of a server of an earlier version is, if there is one
 */
export function silenceCheck(adminSocket: string, env: NodeJS.ProcessEnv, former?: string): Check {
  return { name: 'server', run: async () => ({ findings: await judgeSilence(adminSocket, env, former), skipped: [] }) };
}
