/** Checks which processes listen on the two sockets, by the kernel: another process could imitate the server's answers. */

import type { Finding } from '../base/index.ts';
import type { CheckResult } from './check.ts';

/** The process that listens on a Unix socket, by SO_PEERCRED; pid 0 if its pid namespace is not visible. */
export interface SocketListener {
  readonly pid: number;
  readonly uid: number;
}

export type FindListener = (socket: string) => Promise<SocketListener>;

export interface Sockets {
  readonly pipe: string;
  readonly admin: string;
}

/**
 * Whether the process on the admin socket runs as root or as this user. Reports of other users' processes are not used for
 * commands that name files, because such a process could name any file.
 */
export async function isOwnServer(admin: string, find: FindListener): Promise<boolean> {
  const { uid } = await find(admin).catch(() => ({ uid: undefined }));
  return uid === 0 || uid === process.geteuid!();
}

/**
 * Compares the process that listens on the pipe with that on the admin socket. The pid that the server reports is not
 * used: in a container it differs.
 */
export async function judgeListeners({ pipe, admin }: Sockets, find: FindListener): Promise<CheckResult> {
  let server: SocketListener;
  let other: SocketListener;
  try {
    [server, other] = [await find(admin), await find(pipe)];
  } catch (thrown) {
    const why = (thrown as Error).message;
    return { findings: [], skipped: [{ what: `which process answers on ${pipe}`, why }] };
  }
  const findings: Finding[] = [];
  if (other.pid !== server.pid || other.uid !== server.uid) {
    findings.push({
      rule: 'pipe-impostor',
      severity: 'error',
      place: pipe,
      problem: `another process listens on the pipe: ${name(other)}; the server is ${name(server)}`,
      why: 'every client that connects gets identities and trust bundles of that process, and may then trust its peers',
      fix: `find out what it is (ps -fp ${other.pid || 'PID'}) and end it; then restart the server, with its socket below a directory that only root or uid ${server.uid} can write`,
    });
  }
  const me = process.geteuid!();
  if (server.uid !== 0 && server.uid !== me) {
    findings.push({
      rule: 'admin-listener',
      severity: 'info',
      place: admin,
      problem: `${name(server)} listens there, which runs neither as root nor as uid ${me}`,
      why: 'all findings depend on the answers of that process',
      fix: `if uid ${server.uid} is not the user of sidekey serve, another program has taken its place; otherwise run sidekey doctor as that user, to get commands for its files too`,
    });
  }
  const what = `which process answers on ${pipe}, beyond its uid ${other.uid}`;
  const why =
    "the server is in a pid namespace that this process does not see: run sidekey doctor on the server's host";
  return { findings, skipped: server.pid === 0 && other.pid === 0 ? [{ what, why }] : [] };
}

function name({ pid, uid }: SocketListener): string {
  return pid === 0 ? `a process of uid ${uid}` : `process ${pid} (uid ${uid})`;
}
