/** Checks a server and its host, from the server's report and from the files that this process sees. */

import type { DoctorJson } from '../admin/index.ts';
import type { Finding } from '../base/index.ts';
import { judgeAdminTls } from './admin-tls.ts';
import { judgeAgent, onServer } from './agent.ts';
import { judgeAuthority } from './authority.ts';
import type { Check, CheckResult } from './check.ts';
import { judgeDataDir } from './data-dir.ts';
import { judgeEngineSocket } from './engine-socket.ts';
import { judgeEntries, judgeRequirements, judgeUnrendered, judgeWithheld } from './entries.ts';
import { judgeRelationships } from './federation.ts';
import { judgeHost } from './host.ts';
import { judgeInputs } from './inputs.ts';
import { judgeKeys } from './keys.ts';
import { type FindListener, isOwnServer, judgeListeners } from './listeners.ts';
import { judgePublishedBundle } from './published-bundle.ts';
import { judgeReload } from './reload.ts';
import { reloadCommand, restartCommand, viewProcess } from './restart.ts';
import { withoutCommand } from './safe-command.ts';
import { judgeAdminSocket, judgeLayout, judgePipe, judgeSilence, type OtherServers } from './sockets.ts';

/** A server whose files and sockets this process can read. */
export interface Here {
  /** The socket on which doctor asked the server, whatever path the server reports. */
  readonly adminSocket: string;
  readonly findListener: FindListener;
}

/**
 * The checks that use the report of a running server.
 * @param now by the clock of this process
 * @param here undefined: the server was asked over a URL
 */
export function serverChecks(known: DoctorJson, now: number, here: Here | undefined): Check[] {
  // Servers of earlier versions say nothing of agents.
  const { socket, admin_socket: admin, data_dir: dataDir, docker_socket: engine, uid, agent = null } = known;
  const judged = (name: string, findings: () => Finding[] | Promise<Finding[]>): Check => ({
    name,
    run: async () => ({ findings: await findings(), skipped: [] }),
  });
  const process = here && viewProcess(known.pid, known.started);
  const restart = (...flags: string[]) => process && restartCommand(known.pid, process, flags);
  // A server of another user could name any file in its report, and root would run a command on that file.
  const ownOnly = async (here: Here, outcome: CheckResult): Promise<CheckResult> =>
    (await isOwnServer(here.adminSocket, here.findListener))
      ? outcome
      : { ...outcome, findings: outcome.findings.map(withoutCommand) };
  const far = {
    what: `sockets and files of ${known.data_dir}`,
    why: 'the server is asked over a URL: run sidekey doctor on its host',
  };
  return [
    ...(here !== undefined
      ? [
          { name: 'pipe', run: async () => ownOnly(here, await judgePipe(socket, uid, restart())) },
          {
            name: 'admin-socket',
            run: () => ownOnly(here, { findings: judgeAdminSocket(admin, uid), skipped: [] }),
          },
          { name: 'layout', run: async () => ownOnly(here, { findings: await judgeLayout(known), skipped: [] }) },
          {
            name: 'listeners',
            run: () => judgeListeners({ pipe: socket, admin: here.adminSocket }, here.findListener),
          },
          { name: 'inputs', run: async () => judgeInputs(known.inputs, uid) },
          { name: 'keys', run: async () => judgeKeys(known.passphrase_files, uid) },
          ...(engine === null
            ? []
            : [{ name: 'engine', run: () => judgeEngineSocket(engine, uid, here.findListener) }]),
          { name: 'data-dir', run: () => ownOnly(here, judgeDataDir(dataDir, uid)) },
        ]
      : [{ name: 'files', run: async () => ({ findings: [], skipped: [far] }) }]),
    here === undefined
      ? { name: 'reload', run: async () => judgeReload(known, undefined) }
      : {
          name: 'reload',
          run: () => ownOnly(here, judgeReload(known, process && reloadCommand(known.pid, process))),
        },
    judged('admin-tls', () => judgeAdminTls(known)),
    judged('published-bundle', () => judgePublishedBundle(known)),
    judged('federation', () => judgeRelationships(known)),
    agent === null
      ? judged('authority', () => judgeAuthority(known, now))
      : judged('agent', () => judgeAgent(agent, known.at)),
    here === undefined
      ? judged('host', () => judgeHost(known, restart))
      : { name: 'host', run: () => ownOnly(here, { findings: judgeHost(known, restart), skipped: [] }) },
    judged('entries', () => {
      const findings = [
        ...judgeRequirements(known),
        ...judgeWithheld(known),
        ...judgeUnrendered(known),
        ...judgeEntries(known),
      ];
      return agent === null ? findings : findings.map(onServer(agent));
    }),
  ];
}

/**
 * The check if no server answers on its socket.
 * @param env environment with possible settings of `serve`
 */
export function silenceCheck(adminSocket: string, env: NodeJS.ProcessEnv, others?: OtherServers): Check {
  return { name: 'server', run: async () => ({ findings: await judgeSilence(adminSocket, env, others), skipped: [] }) };
}
