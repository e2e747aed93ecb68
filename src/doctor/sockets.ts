/** The two socket files: whether somebody answers, who reaches them, and who could put another one in their place. */

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { DoctorJson } from '../admin/doctor-schema.ts';
import type { Finding } from '../base/finding.ts';
import { groupMembers, isNamedGroup } from '../base/groups.ts';
import { shellQuote } from '../base/shell.ts';
import { describeLoose, octal, pathRemedy, pathRule, walkToMade } from '../base/trusted-path.ts';
import { observer } from '../base/user-ids.ts';
import { isWithin } from '../base/within.ts';
import type { Outcome, Skipped } from './check.ts';
import { isSafeToName, withoutCommand } from './safe-command.ts';

const OTHERS = { write: 0o002, search: 0o001 };

/** Whether somebody listens: `stale` is a file that a server has left. */
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

/** Undefined where nothing is; `forbidden` where a directory above lets nobody look who is not its owner. */
function look(file: string): fs.Stats | 'forbidden' | undefined {
  try {
    return fs.lstatSync(file, { throwIfNoEntry: false });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EACCES') return 'forbidden';
    throw thrown;
  }
}

/**
 * A socket that nobody answers on.
 * @param env where settings of `serve` may stand
 * @param former where the socket of a server of an earlier version is, if there is one
 */
export async function judgeSilence(file: string, env: NodeJS.ProcessEnv, former?: string): Promise<Finding[]> {
  const state = await socketState(file);
  if (former !== undefined && (await socketState(former)) !== 'stale') return [earlierServer(former)];
  if (state === 'answers') return [];
  const head = { severity: 'error', place: file, why: 'nobody gets an identity there' } as const;
  const serve = serveCommand(file, env);
  if (state === 'missing') {
    const fix = 'start it: sidekey serve --trust-domain DOMAIN …; or name its socket: --admin-socket PATH';
    const problem = 'there is no such socket: no server runs here';
    return [{ ...head, rule: 'no-server', problem, fix, command: serve }];
  }
  if (state === 'stale') {
    const fix = 'start it again with the settings that it had: it takes the place of a socket that nobody listens on';
    const problem = 'a socket is left of a server that does not run';
    return [{ ...head, rule: 'stale-socket', problem, fix, command: serve }];
  }
  if (state === 'forbidden') {
    const stats = look(file);
    const who = typeof stats === 'object' ? `uid ${stats.uid}` : 'the owner of its directories';
    const problem = `only ${who} and root may use it, and this is uid ${process.geteuid!()}`;
    return [{ ...head, rule: 'forbidden', problem, fix: 'run sidekey doctor as that user or as root' }];
  }
  const fix = 'take it away, and start the server';
  const command = isSafeToName(file) ? `rm ${shellQuote(file)}${serve === undefined ? '' : ` && ${serve}`}` : undefined;
  return [{ ...head, rule: 'not-a-socket', problem: 'something that is not a socket is in its place', fix, command }];
}

function earlierServer(former: string): Finding {
  return {
    rule: 'admin-socket-former',
    severity: 'error',
    place: former,
    problem: 'a server of an earlier version has its admin socket in the directory of the pipe',
    why: REACHABLE,
    fix: `start it anew with this version, without --admin-socket; until then it is asked by sidekey doctor --admin-socket ${shellQuote(former)}`,
  };
}

const REACHABLE =
  "containers mount the pipe's directory: root in any of them has the whole admin API, and so every identity";

/** Whether containers that mount the pipe's directory find more there than the pipe. */
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
    const fix = `start the server with a ${flag} that is elsewhere, or a --socket in a directory of its own`;
    return { rule: 'pipe-directory-shared', severity: 'error', place, problem, why: REACHABLE, fix };
  });
  const state = former === socket || inside.length > 0 ? 'missing' : await socketState(former);
  if (state !== 'stale' && state !== 'answers') return inside;
  if (state === 'answers') return [earlierServer(former)];
  const problem = 'the admin socket of a server of an earlier version is left in the directory of the pipe';
  const why = 'nobody listens there; clients that name it ask nobody';
  const head = { rule: 'admin-socket-left', severity: 'warning', place: former } as const;
  const command = isSafeToName(former) ? `rm ${shellQuote(former)}` : undefined;
  return [{ ...head, problem, why, fix: 'take it away', command }];
}

/** Without a trust domain there is nothing to start: then the settings stand elsewhere. */
function serveCommand(adminSocket: string, env: NodeJS.ProcessEnv): string | undefined {
  if (!env.SIDEKEY_TRUST_DOMAIN && !env.SIDEKEY_CONFIG) return undefined;
  return `sidekey serve --admin-socket ${shellQuote(adminSocket)}`;
}

/** Who reaches the pipe. @param owner the uid of the server @param restart the command that starts it anew, if known */
export async function judgePipe(file: string, owner: number, restart: string | undefined): Promise<Outcome> {
  const state = await socketState(file);
  if (state === 'missing' || state === 'stale' || state === 'no socket') {
    const instead = state === 'stale' ? 'one that nobody listens on' : 'something that is no socket';
    const problem = `the server runs, but its socket is gone${state === 'missing' ? '' : `: in its place is ${instead}`}`;
    const inTheWay = state === 'no socket' ? `rm ${shellQuote(file)} && ` : '';
    const command = isSafeToName(file) ? restart && `${inTheWay}${restart}` : undefined;
    const why = 'who is connected stays connected; nobody else gets in';
    const fix = 'start the server anew, and keep what removed the file away from its directory';
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

/** A group without a name is had by number, such as by containers, and no file says by whom. */
function unknownMembers(file: string, { mode, uid, gid }: fs.Stats): Skipped[] {
  const decides = (mode & OTHERS.write) === 0 && (mode & 0o020) !== 0;
  if (!decides || isNamedGroup(gid) || membersOf(gid, uid).length > 0) return [];
  const why = `/etc/group has no name for it: who has it by its number, as containers do (user: "101:${gid}"), is not known here`;
  return [{ what: `who is in the group ${gid}, which may use ${file}`, why }];
}

/** What the file's mode says, and whether the directories above it let it be so. */
function judgeReach(file: string, { mode, uid, gid }: fs.Stats): Finding[] {
  const forOthers = (mode & OTHERS.write) !== 0;
  const forGroup = (mode & 0o020) !== 0;
  const head = { severity: 'warning', place: file } as const;
  if (!forOthers && !forGroup) {
    const problem = `only uid ${uid} and root reach it (mode ${octal(mode)})`;
    const why = 'to connect takes the right to write: an Envoy of another user gets "Permission denied" at every retry';
    const fix = 'let its group in; sidekey serve --socket-mode 0660 keeps it so';
    return [{ ...head, rule: 'pipe-closed', problem, why, fix, command: `chmod 660 ${shellQuote(file)}` }];
  }
  if (!forOthers && isNamedGroup(gid) && membersOf(gid, uid).length === 0) {
    const problem = `only uid ${uid} and root reach it: nobody else is in its group ${gid}`;
    const why = 'an Envoy of another user gets "Permission denied"';
    const fix = 'start the server with --socket-group GROUP_OF_ENVOY';
    return [{ ...head, rule: 'pipe-group-empty', severity: 'info', problem, why, fix }];
  }
  const passes = (directory: Directory) =>
    (directory.mode & OTHERS.search) !== 0 || (!forOthers && directory.gid === gid && (directory.mode & 0o010) !== 0);
  const closed = directoriesAbove(file).find((directory) => !passes(directory));
  if (closed !== undefined) {
    const { place } = closed;
    const problem = `who may use ${path.basename(file)} may not pass through here (mode ${octal(closed.mode)})`;
    const why = 'the mode of the socket lets them in, the directory does not: Envoy gets "Permission denied"';
    const fix = 'let them pass';
    return [
      { ...head, rule: 'pipe-directory-closed', place, problem, why, fix, command: `chmod o+x ${shellQuote(place)}` },
    ];
  }
  if (!forOthers) return [];
  const problem = `every user of this host reaches it (mode ${octal(mode)})`;
  const why = 'who reaches the pipe may ask, and only the entries stand between them and an identity';
  const fix = 'let its group in alone; sidekey serve --socket-mode 0660 keeps it so';
  return [{ ...head, rule: 'pipe-open', problem, why, fix, command: `chmod 660 ${shellQuote(file)}` }];
}

/** The admin socket: the server looks at the uid of each caller, too. */
export function judgeAdminSocket(file: string, owner: number): Finding[] {
  const stats = fs.lstatSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  const findings = judgeDirectories(file, owner);
  if ((stats.mode & 0o077) !== 0 && stats.isSocket()) {
    const open: Finding = {
      rule: 'admin-socket-open',
      severity: 'warning',
      place: file,
      problem: `others may connect to it (mode ${octal(stats.mode)})`,
      why: 'the server turns them away by their uid, which is then the only thing that does',
      fix: 'close it to them',
      command: `chmod 600 ${shellQuote(file)}`,
    };
    findings.push(stats.uid === owner && isSafeToName(file) ? open : withoutCommand(open));
  }
  return findings;
}

/** Every directory by which others could put a socket of their own in its place. */
function judgeDirectories(file: string, owner: number): Finding[] {
  const who = observer(owner);
  return walkToMade(file, who).loose.map((loose): Finding => {
    const isOpen = loose.kind === 'writable' || loose.kind === 'shared';
    return {
      rule: isOpen ? 'socket-directory-open' : 'socket-directory-foreign',
      severity: 'error',
      place: loose.place,
      problem: `on the way to ${path.basename(file)}: ${describeLoose(loose)}`,
      why: `whoever can change a directory above a socket can put another socket in its place and hand out identities; ${pathRule(who.uid)}`,
      fix: `end the server and ${pathRemedy(who.uid).replace('put it', 'start it with its socket')}; trust nothing that is here`,
    };
  });
}

interface Directory {
  readonly place: string;
  readonly mode: number;
  readonly gid: number;
}

/** From the root down. */
function directoriesAbove(file: string): Directory[] {
  const directories: Directory[] = [];
  for (let place = path.dirname(file); ; place = path.dirname(place)) {
    const { mode, gid } = fs.statSync(place);
    directories.push({ place, mode, gid });
    if (place === path.dirname(place)) return directories.reverse();
  }
}

/** Names of users in a group, but for its owner. */
function membersOf(gid: number, uid: number): readonly string[] {
  return groupMembers(gid)
    .filter(({ uid: member }) => member !== uid && member !== 0)
    .map(({ name }) => name);
}
