/** Checks the two socket files: whether a process listens, which users can connect, and which could replace them. */

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { DoctorJson } from '../admin/index.ts';
import {
  describeLoose,
  type Finding,
  groupMembers,
  isNamedGroup,
  isWithin,
  observer,
  octal,
  pathRemedy,
  pathRule,
  shellQuote,
  walkToMade,
} from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';
import { isSafeToName, withoutCommand } from './safe-command.ts';

const OTHERS = { write: 0o002, search: 0o001 };

/** Whether a process listens; `stale` is a file that a server left behind. */
async function socketState(file: string): Promise<'missing' | 'stale' | 'forbidden' | 'no socket' | 'answers'> {
  const stats = look(file);
  if (stats === undefined) return 'missing';
  if (stats === 'forbidden') return stats;
  if (!stats.isSocket()) return 'no socket';
  return new Promise((resolve) => {
    const client = net.connect(file);
    const done = (state: 'stale' | 'forbidden' | 'answers') => {
      client.destroy();
      resolve(state);
    };
    client.once('connect', () => done('answers'));
    client.once('error', ({ code }: NodeJS.ErrnoException) => {
      done(code === 'ECONNREFUSED' ? 'stale' : code === 'EACCES' ? 'forbidden' : 'answers');
    });
  });
}

/** Undefined if the file does not exist; `forbidden` if a directory above does not allow this user to search it. */
function look(file: string): fs.Stats | 'forbidden' | undefined {
  try {
    return fs.lstatSync(file, { throwIfNoEntry: false });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EACCES') return 'forbidden';
    throw thrown;
  }
}

/** What else was found on this host. */
export interface OtherServers {
  readonly former?: string | undefined;
  readonly roots?: string | undefined;
}

/**
 * Judges a socket on which no process listens.
 * @param env environment with possible settings of `serve`
 * @param former the socket of a server of an earlier version, if there is one
 * @param roots the pipe of a server of root, if there is one and this user is not root
 */
export async function judgeSilence(
  file: string,
  env: NodeJS.ProcessEnv,
  { former, roots }: OtherServers = {},
): Promise<Finding[]> {
  const state = await socketState(file);
  if (former !== undefined && (await socketState(former)) !== 'stale') return [earlierServer(former)];
  if (state === 'answers') return [];
  const head = { severity: 'error', place: file, why: 'no client gets an identity from this server' } as const;
  const serve = serveCommand(file, env);
  if (state === 'missing' && roots !== undefined) {
    const problem = `this socket does not exist, but ${roots} does: a server of root seems to run here`;
    return [{ ...head, rule: 'no-server', problem, fix: 'run sidekey doctor as root (sudo)' }];
  }
  if (state === 'missing') {
    const fix = 'start it with sidekey serve --trust-domain DOMAIN …, or name its socket with --admin-socket PATH';
    const problem = 'this socket does not exist: no server runs here';
    return [{ ...head, rule: 'no-server', problem, fix, command: serve }];
  }
  if (state === 'stale') {
    const fix = 'start the server again with the same settings; it replaces a socket on which no process listens';
    const problem = 'the socket was left by a server that no longer runs';
    return [{ ...head, rule: 'stale-socket', problem, fix, command: serve }];
  }
  if (state === 'forbidden') {
    const stats = look(file);
    const who = typeof stats === 'object' ? `uid ${stats.uid}` : 'the owner of its directories';
    const problem = `only ${who} and root may use it, and this is uid ${process.geteuid!()}`;
    return [{ ...head, rule: 'forbidden', problem, fix: 'run sidekey doctor as that user or as root' }];
  }
  const fix = 'remove it, and start the server';
  const command = isSafeToName(file) ? `rm ${shellQuote(file)}${serve === undefined ? '' : ` && ${serve}`}` : undefined;
  return [{ ...head, rule: 'not-a-socket', problem: 'there is a file at its path that is not a socket', fix, command }];
}

function earlierServer(former: string): Finding {
  return {
    rule: 'admin-socket-former',
    severity: 'error',
    place: former,
    problem: 'a server of an earlier version has its admin socket in the directory of the pipe',
    why: REACHABLE,
    fix: `restart it with this version, without --admin-socket; until then ask it with sidekey doctor --admin-socket ${shellQuote(former)}`,
  };
}

const REACHABLE =
  "containers mount the pipe's directory: root in any of them can use the whole admin API, and so get every identity";

/** Whether the pipe's directory, which containers mount, contains more than the pipe. */
export async function judgeLayout({
  socket,
  admin_socket: admin,
  data_dir: dataDir,
}: Pick<DoctorJson, 'socket' | 'admin_socket' | 'data_dir'>): Promise<Finding[]> {
  const directory = path.dirname(socket);
  const former = path.join(directory, 'admin.sock');
  const inside = [
    ...(isWithin(admin, directory) ? [['the admin socket', '--admin-socket', admin] as const] : []),
    ...(isWithin(dataDir, directory) ? [['the data directory', '--data-dir', dataDir] as const] : []),
  ].map(([what, flag, place]): Finding => {
    const problem = `${what} is in the directory of the pipe, ${directory}`;
    const fix = `start the server with ${flag} at another place, or with --socket in a directory of its own`;
    return { rule: 'pipe-directory-shared', severity: 'error', place, problem, why: REACHABLE, fix };
  });
  const state = former === socket || inside.length > 0 ? 'missing' : await socketState(former);
  if (state !== 'stale' && state !== 'answers') return inside;
  if (state === 'answers') return [earlierServer(former)];
  const problem = 'a server of an earlier version left its admin socket in the directory of the pipe';
  const why = 'no process listens there; clients that use this path get no answer';
  const head = { rule: 'admin-socket-left', severity: 'warning', place: former } as const;
  const command = isSafeToName(former) ? `rm ${shellQuote(former)}` : undefined;
  return [{ ...head, problem, why, fix: 'remove it', command }];
}

/**
 * The command that starts the server. Undefined if the environment has neither a trust domain nor a configuration file,
 * because then the settings are elsewhere.
 */
function serveCommand(adminSocket: string, env: NodeJS.ProcessEnv): string | undefined {
  if (!env.SIDEKEY_TRUST_DOMAIN && !env.SIDEKEY_CONFIG) return undefined;
  return `sidekey serve --admin-socket ${shellQuote(adminSocket)}`;
}

/**
 * Checks which users can connect to the pipe.
 * @param owner the uid of the server
 * @param restart the command that restarts the server, if known
 */
export async function judgePipe(file: string, owner: number, restart: string | undefined): Promise<CheckResult> {
  const state = await socketState(file);
  if (state === 'missing' || state === 'stale' || state === 'no socket') {
    const instead = state === 'stale' ? 'a socket on which no process listens' : 'a file that is not a socket';
    const problem = `the server runs, but its socket is gone${state === 'missing' ? '' : `: at its path is ${instead}`}`;
    const inTheWay = state === 'no socket' ? `rm ${shellQuote(file)} && ` : '';
    const command = isSafeToName(file) ? restart && `${inTheWay}${restart}` : undefined;
    const why = 'connected clients stay connected; no other client can connect';
    const fix = 'restart the server, and find out which program removed the file';
    const gone: Finding = { rule: 'pipe-gone', severity: 'error', place: file, problem, why, fix, command };
    return { findings: [...judgeDirectories(file, owner), gone], skipped: [] };
  }
  const stats = fs.lstatSync(file);
  const directories = judgeDirectories(file, owner);
  const reach = judgeReach(file, stats);
  const isServers = stats.uid === owner && stats.isSocket() && isSafeToName(file);
  return {
    findings: [...directories, ...(isServers ? reach : reach.map(withoutCommand))],
    skipped: unknownMembers(file, stats),
  };
}

/** Says that a group's members are not known: processes in containers can have a group by number, without /etc/group. */
function unknownMembers(file: string, { mode, uid, gid }: fs.Stats): Skipped[] {
  const decides = (mode & OTHERS.write) === 0 && (mode & 0o020) !== 0;
  if (!decides || isNamedGroup(gid) || membersOf(gid, uid).length > 0) return [];
  const why = `/etc/group has no name for it, so processes that have it by number, as in containers (user: "101:${gid}"), are not known here`;
  return [{ what: `who is in the group ${gid}, which may use ${file}`, why }];
}

function ownerAndRoot(uid: number): string {
  return uid === 0 ? 'root' : `uid ${uid} and root`;
}

/** Judges the mode of the file and of the directories above it. */
function judgeReach(file: string, { mode, uid, gid }: fs.Stats): Finding[] {
  const forOthers = (mode & OTHERS.write) !== 0;
  const forGroup = (mode & 0o020) !== 0;
  const head = { severity: 'warning', place: file } as const;
  if (!forOthers && !forGroup) {
    const problem = `only ${ownerAndRoot(uid)} can connect (mode ${octal(mode)})`;
    const why = 'connecting needs write access: an Envoy of another user gets "Permission denied" at every retry';
    const fix = 'give its group access; sidekey serve --socket-mode 0660 makes this permanent';
    return [{ ...head, rule: 'pipe-closed', problem, why, fix, command: `chmod 660 ${shellQuote(file)}` }];
  }
  if (!forOthers && isNamedGroup(gid) && membersOf(gid, uid).length === 0) {
    const problem = `only ${ownerAndRoot(uid)} can connect: its group ${gid} has no other members`;
    const why = 'an Envoy of another user gets "Permission denied"';
    const fix = 'start the server with --socket-group GROUP_OF_ENVOY';
    return [{ ...head, rule: 'pipe-group-empty', severity: 'info', problem, why, fix }];
  }
  const passes = (directory: Directory) =>
    (directory.mode & OTHERS.search) !== 0 || (!forOthers && directory.gid === gid && (directory.mode & 0o010) !== 0);
  const closed = directoriesAbove(file).find((directory) => !passes(directory));
  if (closed !== undefined) {
    const { place } = closed;
    const problem = `users who may connect to ${path.basename(file)} may not pass this directory (mode ${octal(closed.mode)})`;
    const why = 'the mode of the socket allows it, the directory does not: Envoy gets "Permission denied"';
    const fix = 'let them pass the directory';
    return [
      { ...head, rule: 'pipe-directory-closed', place, problem, why, fix, command: `chmod o+x ${shellQuote(place)}` },
    ];
  }
  if (!forOthers) return [];
  const problem = `every user on this host can connect (mode ${octal(mode)})`;
  const why = 'every process can ask for identities, and only the entries decide whether it gets them';
  const fix = 'give access to its group only; sidekey serve --socket-mode 0660 makes this permanent';
  return [{ ...head, rule: 'pipe-open', problem, why, fix, command: `chmod 660 ${shellQuote(file)}` }];
}

/** Judges the mode of the admin socket; the server also checks the uid of each caller. */
export function judgeAdminSocket(file: string, owner: number): Finding[] {
  const stats = fs.lstatSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  const findings = judgeDirectories(file, owner);
  if ((stats.mode & 0o077) !== 0 && stats.isSocket()) {
    const open: Finding = {
      rule: 'admin-socket-open',
      severity: 'warning',
      place: file,
      problem: `other users may connect to it (mode ${octal(stats.mode)})`,
      why: 'the server still refuses them by uid, but that is then the only protection',
      fix: 'remove their access',
      command: `chmod 600 ${shellQuote(file)}`,
    };
    findings.push(stats.uid === owner && isSafeToName(file) ? open : withoutCommand(open));
  }
  return findings;
}

/** Finds every directory through which other users could replace the socket. */
function judgeDirectories(file: string, owner: number): Finding[] {
  const who = observer(owner);
  return walkToMade(file, who).loose.map((loose): Finding => {
    const isOpen = loose.kind === 'writable' || loose.kind === 'shared';
    return {
      rule: isOpen ? 'socket-directory-open' : 'socket-directory-foreign',
      severity: 'error',
      place: loose.place,
      problem: `above ${path.basename(file)}: ${describeLoose(loose)}`,
      why: `a user who can change a directory above a socket can put another socket in its place and give out identities; ${pathRule(who.uid)}`,
      fix: `end the server and ${pathRemedy(who.uid).replace('put it', 'start it with its socket')}; do not trust the files that are here`,
    };
  });
}

interface Directory {
  readonly place: string;
  readonly mode: number;
  readonly gid: number;
}

/** Directories from the root down. */
function directoriesAbove(file: string): Directory[] {
  const directories: Directory[] = [];
  for (let place = path.dirname(file); ; place = path.dirname(place)) {
    const { mode, gid } = fs.statSync(place);
    directories.push({ place, mode, gid });
    if (place === path.dirname(place)) return directories.reverse();
  }
}

/** Names of the users in a group, except for the owner. */
function membersOf(gid: number, uid: number): readonly string[] {
  return groupMembers(gid)
    .filter(({ uid: member }) => member !== uid && member !== 0)
    .map(({ name }) => name);
}
