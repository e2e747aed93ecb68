/**
 * A server on a Unix socket whose file has the right group and mode from the first moment: the file is made under another
 * name without access for others, gets its group and mode there, and then its real name. A socket without a server is
 * replaced; a socket on which a server answers never is.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
  describeLoose,
  groupId,
  MAX_SOCKET_PATH_BYTES,
  makePath,
  observer,
  pathRemedy,
  pathRule,
  SidekeyError,
  walkToMade,
} from '../base/index.ts';

export interface SocketOptions {
  readonly path: string;
  /** The file's mode, such as 0o660. Connecting requires write permission. */
  readonly mode: number;
  /** The file's group, by name or number; default: that of the process. */
  readonly group?: string | undefined;
  /** Maximum number of connections that wait to be accepted; the kernel limits it to `net.core.somaxconn`. */
  readonly backlog?: number;
}

export interface SocketFile {
  readonly path: string;
  /** Stops accepting and removes the file if it is still this server's. Open connections continue. */
  close(): void;
}

/** More than Node's default of 511, because clients get EAGAIN when the backlog is full. */
const BACKLOG = 4096;

/** Makes `server` accept on a socket file. @throws ERR_SOCKET, leaving nothing behind */
export async function listenOnSocket(server: net.Server, options: SocketOptions): Promise<SocketFile> {
  const file = path.resolve(options.path);
  const draft = draftName(file);
  let bound = false;
  try {
    checkLength(file);
    const gid = options.group === undefined ? undefined : findGroup(file, options.group);
    prepareDirectory(file);
    const dead = await findDeadSocket(file);

    await bindDraft(server, draft, options.backlog ?? BACKLOG);
    bound = true;
    // Other users cannot put a file at this path, since its directory was checked.
    if (gid !== undefined) lchownSync(draft, -1, gid);
    chmodSync(draft, options.mode);
    if (dead !== undefined) removeDead(file, dead);
    // A rename would displace a server that took the name meanwhile.
    linkSync(draft, file);
  } catch (thrown) {
    if (bound) server.close();
    throw SidekeyError.from(thrown, 'ERR_SOCKET', `${file}: ${explain(thrown as NodeJS.ErrnoException, options)}`);
  } finally {
    rmSync(draft, { force: true });
  }
  const mine = lstatSync(file);
  return { path: file, close: () => close(server, file, mine) };
}

/**
 * Checks a socket's path as {@link listenOnSocket} does, and changes nothing.
 * @param isServed whether a server is expected to answer there
 * @throws ERR_SOCKET
 */
export async function checkSocket(options: SocketOptions, isServed: boolean): Promise<void> {
  const file = path.resolve(options.path);
  try {
    checkLength(file);
    if (options.group !== undefined) findGroup(file, options.group);
    checkDirectory(file);
    if (!isServed) await findDeadSocket(file);
  } catch (thrown) {
    throw SidekeyError.from(thrown, 'ERR_SOCKET', `${file}: ${(thrown as Error).message}`);
  }
}

function checkLength(file: string): void {
  const bytes = Buffer.byteLength(file);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return;
  throw refusal(file, `the path has ${bytes} bytes; the path of a socket has at most ${MAX_SOCKET_PATH_BYTES}`);
}

function findGroup(file: string, group: string): number {
  const gid = groupId(group);
  if (gid === undefined) throw refusal(file, `this host has no group ${JSON.stringify(group)}`);
  return gid;
}

/**
 * Creates the socket's directory (0755) if missing, and checks the path. Users that may write in a directory on the path
 * could replace the socket with their own and hand out identities. For the socket's own directory, the sticky bit is
 * not enough: while no server runs, anyone could create the socket.
 */
function prepareDirectory(file: string): void {
  const umask = process.umask(0o022);
  try {
    makePath(path.dirname(file), observer(), 0o755);
  } finally {
    process.umask(umask);
  }
  checkDirectory(file);
}

function checkDirectory(file: string): void {
  const me = observer();
  const [loose] = walkToMade(file, me).loose;
  if (loose === undefined) return;
  throw refusal(file, `${describeLoose(loose)}; ${pathRule(me.uid)}: ${pathRemedy(me.uid)}`);
}

/** The file at the path if it is a socket without a server; undefined if there is no file. */
async function findDeadSocket(file: string): Promise<Stats | undefined> {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (!stats.isSocket()) throw refusal(file, 'something that is not a socket is in the way');
  const client = net.connect(file);
  try {
    await once(client, 'connect');
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') return stats;
    if (code === 'ENOENT') return undefined;
    throw refusal(file, `cannot find out whether a server answers there: ${(thrown as Error).message}`);
  } finally {
    client.destroy();
  }
  throw refusal(file, 'another server answers there; stop it, or give this server another path');
}

/**
 * Binds the socket under its draft name. A draft path that is too long for bind(2) is reached through its directory's
 * descriptor.
 */
async function bindDraft(server: net.Server, draft: string, backlog: number): Promise<void> {
  const isShort = Buffer.byteLength(draft) <= MAX_SOCKET_PATH_BYTES;
  const directory = isShort ? undefined : openSync(path.dirname(draft), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const place = isShort ? draft : `/proc/self/fd/${directory}/${path.basename(draft)}`;
    bindClosed(server, place, backlog);
    await once(server, 'listening');
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

/**
 * `server.listen` calls bind(2) at once, which creates the file with a mode from the umask. The umask is process-wide, so it
 * is restored before anything else runs.
 */
function bindClosed(server: net.Server, draft: string, backlog: number): void {
  const umask = process.umask(0o177);
  try {
    server.listen({ path: draft, backlog });
  } finally {
    process.umask(umask);
  }
}

/** Removes the dead socket, but restores the file if it is another one by now. */
function removeDead(file: string, dead: Stats): void {
  const aside = draftName(file);
  renameSync(file, aside);
  try {
    if (!same(lstatSync(aside), dead)) {
      linkSync(aside, file);
      throw refusal(file, 'another server took the path at the same moment');
    }
  } finally {
    rmSync(aside);
  }
}

function close(server: net.Server, file: string, mine: Stats): void {
  const there = lstatSync(file, { throwIfNoEntry: false });
  if (there !== undefined && same(there, mine)) rmSync(file, { force: true });
  server.close();
}

function same(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function draftName(file: string): string {
  return path.join(path.dirname(file), `.${randomBytes(3).toString('hex')}`);
}

function refusal(place: string, why: string): SidekeyError {
  return new SidekeyError('ERR_SOCKET', `${place}: ${why}`);
}

function explain(error: NodeJS.ErrnoException, { group }: SocketOptions): string {
  if (error.syscall === 'lchown') return `this user may not set the group of the socket to ${JSON.stringify(group)}`;
  if (error.code === 'EEXIST') return 'another server took the path at the same moment';
  return error.message;
}
