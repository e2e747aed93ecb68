/**
 * Whether a process can connect to the pipe: by the kernel's rules for files, from its file system ids, groups and
 * capabilities, and from what it has mounted. Nothing is opened or looked up in the process's own mount namespace,
 * where a
 * file system of its own could keep a reader waiting for ever.
 *
 * Not decided: access control lists (POSIX ACLs), security modules (SELinux, AppArmor, Landlock), and directories above
 * a
 * mount in another mount namespace.
 *
 * @see path_resolution(7), capabilities(7), credentials(7), unix(7), mount_namespaces(7)
 */

import fs from 'node:fs';
import path from 'node:path';
import {
  accountOf,
  commandLine,
  groupName,
  type IdRange,
  octal,
  readIdMap,
  readUnmappedIds,
  shellQuote,
} from '../base/index.ts';
import { type Mount, readMounts, readOwnMounts } from './proc/mountinfo.ts';
import { type FileRights, readFileRights } from './proc/status.ts';
import { mayReadOthers, PTRACE_REMEDY } from './proc-view.ts';

export interface Reach {
  /** `unknown`: it could not be decided. */
  readonly verdict: 'yes' | 'no' | 'unknown';
  /** One line for people. */
  readonly detail: string;
  /** What to do about it, in words; undefined if nothing is to be done, or that is not known. */
  readonly fix: string | undefined;
  /** The part of it that is a command; undefined if there is none. */
  readonly command?: string | undefined;
  /** The path at which the process sees the socket; undefined if it sees none, or that is not known. */
  readonly seenAs: string | undefined;
}

/** The part of stat(2) that decides. */
export interface Inode {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

const CAP_DAC_OVERRIDE = 1n << 1n;
const CAP_DAC_READ_SEARCH = 1n << 2n;
/** Permission bits of one class. */
const WRITE = 0o2;
const SEARCH = 0o1;

/** Who a process is when it uses files. */
export interface FileUser extends FileRights {
  /**
   * The ids of its user namespace, as this process calls them; undefined: it has the same as this process, all of them.
   */
  readonly maps: { readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[] } | undefined;
}

/**
 * Whether the process may connect to the socket at this path. Takes at most a few hundredths of a second, whatever the
 * process has mounted.
 * @param socket absolute, as this process sees it
 */
export function reachOf(pid: number, socket: string): Reach {
  return createReach(socket)(pid);
}

/** The same for many processes; finds the socket among the mounts of this process only once. */
export function createReach(socket: string): (pid: number) => Reach {
  let site: Site | undefined;
  return (pid) =>
    reachAt(pid, socket, (real) => {
      site ??= siteOf(real);
      return site;
    });
}

function reachAt(pid: number, socket: string, siteAt: (real: string) => Site): Reach {
  try {
    const user = fileUserOf(pid);
    const view = viewOf(pid, socket, siteAt);
    if ('verdict' in view) return view;
    const { seenAs } = view;
    const unmapped = readUnmappedIds();
    if (user.uid === unmapped.uid || user.gid === unmapped.gid) {
      return unknown('its ids are not mapped in the user namespace of the server');
    }
    const denied = firstDenied(user, view.directories, view.socket);
    if (denied !== undefined) {
      return {
        verdict: 'no',
        ...(view.isHere && user.maps === undefined ? withAccount(denied, user.uid) : told(denied)),
        seenAs,
      };
    }
    const where = seenAs === socket ? '' : `, which it sees as ${seenAs}`;
    return { verdict: 'yes', detail: `it may connect to ${socket}${where}${view.remark}`, fix: undefined, seenAs };
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'EACCES' && !mayReadOthers()) {
      return unknown(`the server may not look at the mounts of this process; ${PTRACE_REMEDY}`);
    }
    return unknown(message);
  }
}

/** The same of a process that such a user would start on this host. */
export function reachOfUser(who: Omit<FileRights, 'capabilities'>, socket: string): Reach {
  try {
    const view = viewHere(socket);
    if ('verdict' in view) return view;
    const denied = firstDenied({ ...who, capabilities: 0n, maps: undefined }, view.directories, view.socket);
    if (denied !== undefined) return { verdict: 'no', ...withAccount(denied, who.uid), seenAs: socket };
    return { verdict: 'yes', detail: `it may connect to ${socket}`, fix: undefined, seenAs: socket };
  } catch (thrown) {
    return unknown((thrown as Error).message);
  }
}

function unknown(detail: string): Reach {
  return { verdict: 'unknown', detail, fix: undefined, seenAs: undefined };
}

function fileUserOf(pid: number): FileUser {
  const rights = readFileRights(pid);
  const isSame = (file: 'uid_map' | 'gid_map') => readIdMap(pid, file).text === readIdMap('self', file).text;
  const maps =
    isSame('uid_map') && isSame('gid_map')
      ? undefined
      : { uid: readIdMap(pid, 'uid_map').ranges, gid: readIdMap(pid, 'gid_map').ranges };
  return { ...rights, maps };
}

export interface Denied {
  readonly detail: string;
  readonly fix: string;
  /** The group that would let it in; undefined if none would. */
  readonly group: number | undefined;
}

function told({ detail, fix }: Denied): Pick<Reach, 'detail' | 'fix'> {
  return { detail, fix };
}

/** With the command that adds the user's account to the group, if both have a name on this host. */
function withAccount(denied: Denied, uid: number): Pick<Reach, 'detail' | 'fix' | 'command'> {
  const { detail, fix, group } = denied;
  const account = group === undefined ? undefined : accountOf(uid);
  if (group === undefined || account === undefined) return { detail, fix };
  if (account.gid === group || account.groups.includes(group)) {
    return { detail, fix: `its user ${account.name} is in the group ${group} by now: start it again${KEEPS}` };
  }
  const name = groupName(group);
  const command = name === undefined ? undefined : commandLine(['usermod', '-aG', name, account.name]);
  return { detail, fix, ...(command === undefined ? {} : { command }) };
}

/** Why the user may not pass one of the directories or write to the socket, and what to do; undefined if it may. */
export function firstDenied(
  user: FileUser,
  directories: readonly (Inode & { readonly place: string })[],
  socket: Inode & { readonly place: string },
): Denied | undefined {
  for (const directory of directories) {
    if (isAllowed(user, directory, SEARCH)) continue;
    const detail = `it may not pass the directory ${describe(directory)}: ${whyNot(user, directory)}`;
    return {
      detail,
      fix: wayIn(directory, SEARCH) ?? `let it pass the directory: chmod o+x ${shellQuote(directory.place)}`,
      group: helpingGroup(directory, SEARCH),
    };
  }
  if (isAllowed(user, socket, WRITE)) return undefined;
  const detail = `it may not connect to ${describe(socket)}: connecting needs write access, and ${whyNot(user, socket)}`;
  return {
    detail,
    fix: wayIn(socket, WRITE) ?? 'start the server with --socket-mode 0660 and --socket-group GROUP_OF_THE_PROCESS',
    group: helpingGroup(socket, WRITE),
  };
}

/** The group, if membership in it is enough. */
function helpingGroup({ gid, mode }: Inode, wanted: number): number | undefined {
  return ((mode >> SHIFT.group) & wanted) === 0 || gid === 0 ? undefined : gid;
}

function wayIn(inode: Inode, wanted: number): string | undefined {
  const gid = helpingGroup(inode, wanted);
  if (gid === undefined) return undefined;
  return `give it the group ${gid} (usermod -aG, systemd: SupplementaryGroups=, docker run --group-add ${gid}) and start it again${KEEPS}`;
}

const KEEPS = ': a process keeps the groups that it was started with';

/** The class of permission bits that counts for the user, as their shift. */
function classOf({ uid, gid, groups }: FileRights, inode: Inode): 'owner' | 'group' | 'others' {
  if (uid === inode.uid) return 'owner';
  return gid === inode.gid || groups.includes(inode.gid) ? 'group' : 'others';
}

const SHIFT = { owner: 6, group: 3, others: 0 } as const;

function isAllowed(user: FileUser, inode: Inode, wanted: number): boolean {
  if (((inode.mode >> SHIFT[classOf(user, inode)]) & wanted) === wanted) return true;
  const overriding = wanted === SEARCH ? CAP_DAC_OVERRIDE | CAP_DAC_READ_SEARCH : CAP_DAC_OVERRIDE;
  // A capability counts for files whose owner and group the user namespace has.
  return (user.capabilities & overriding) !== 0n && isMapped(user.maps, inode);
}

function isMapped(maps: FileUser['maps'], { uid, gid }: Inode): boolean {
  if (maps === undefined) return true;
  const has = (ranges: readonly IdRange[], id: number) =>
    ranges.some(({ outside, count }) => id >= outside && id < outside + count);
  return has(maps.uid, uid) && has(maps.gid, gid);
}

function describe({ place, uid, gid, mode }: Inode & { readonly place: string }): string {
  return `${place} (uid ${uid}, gid ${gid}, mode ${octal(mode)})`;
}

function whyNot(user: FileUser, inode: Inode): string {
  const { uid, gid, groups } = user;
  const shown = groups.slice(0, SHOWN_GROUPS).join(', ') + (groups.length > SHOWN_GROUPS ? ', …' : '');
  const who = `it is uid ${uid}, gid ${gid}${groups.length === 0 ? ', in no other group' : `, groups ${shown}`}`;
  const lacks = {
    owner: 'the owner has no such permission',
    group: 'the group has no such permission',
    others: `so it is neither the owner nor in the group ${inode.gid}`,
  };
  return `${who}, ${lacks[classOf(user, inode)]}`;
}

const SHOWN_GROUPS = 10;

interface SocketView {
  /** From the root that the process has (or the mount) down to the directory of the socket. */
  readonly directories: readonly (Inode & { readonly place: string })[];
  readonly socket: Inode & { readonly place: string };
  readonly seenAs: string;
  /** Which directories were not checked. */
  readonly remark: string;
  /** True if this process has the same view, so that the accounts of this host apply. */
  readonly isHere: boolean;
}

function viewOf(pid: number, socket: string, siteAt: (real: string) => Site): SocketView | Reach {
  const isSame = fs.readlinkSync(`/proc/${pid}/ns/mnt`) === fs.readlinkSync('/proc/self/ns/mnt');
  const root = isSame ? fs.readlinkSync(`/proc/${pid}/root`) : undefined;
  if (root === '/') return viewHere(socket);
  const real = realSocket(socket);
  if (real === undefined) return gone(socket);
  if (root === undefined) return viewByMounts(pid, siteAt(real), inodeAt(real));
  if (!isAt(real, root)) {
    const detail = `its root directory is ${root} (chroot), and ${socket} is not in it`;
    const fix = 'let the server make its socket there too, or mount its directory into it';
    return { verdict: 'no', detail, fix, seenAs: undefined };
  }
  const directories = directoriesAbove(real).filter((place) => isAt(place, root));
  const seenAs = `/${path.relative(root, real)}`;
  return { directories: directories.map(inodeAt), socket: inodeAt(real), seenAs, remark: '', isHere: false };
}

/** As this process sees it; the directories of symbolic links too. */
function viewHere(socket: string): SocketView | Reach {
  const real = realSocket(socket);
  if (real === undefined) return gone(socket);
  const places = new Set([...directoriesAbove(socket), ...directoriesAbove(real)]);
  return { directories: [...places].map(inodeAt), socket: inodeAt(real), seenAs: socket, remark: '', isHere: true };
}

function gone(socket: string): Reach {
  return { verdict: 'no', detail: `${socket} does not exist`, fix: 'restart the server', seenAs: undefined };
}

/** Where the socket is among the mounts of this process. Paths of mounts are latin1, like {@link Mount}. */
interface Site {
  /** The path of the socket without symbolic links, as a UTF-16 string like all other paths. */
  readonly real: string;
  readonly mount: Mount;
  /** The path of the socket in the file system of the mount. */
  readonly inside: string;
}

/** @throws Error if no mount holds it */
function siteOf(real: string): Site {
  const place = encode(real);
  const mount = mountAt(readOwnMounts(), place);
  if (mount === undefined) throw new Error(`no mount of the server holds ${real}`);
  return { real, mount, inside: path.posix.join(mount.root, path.posix.relative(mount.mountPoint, place)) };
}

/** In another mount namespace: by the text of its mounts alone. */
function viewByMounts(pid: number, site: Site, socket: SocketView['socket']): SocketView | Reach {
  const { real, mount: own } = site;
  const seen = seenBy(readMounts(pid), site);
  if (seen === undefined) {
    const directory = path.dirname(real);
    const detail = `it has a mount namespace of its own, as in a container, in which ${real} is not mounted`;
    return {
      verdict: 'no',
      detail,
      fix: `mount its directory there: docker run -v ${directory}:${directory}`,
      seenAs: undefined,
    };
  }
  const { mount, at } = seen;
  // The directories of the mount are the same here and there; those above it are the process's own.
  const top = decode(path.posix.join(own.mountPoint, path.posix.relative(own.root, mount.root)));
  const highest = isAt(mount.root, own.root) ? top : decode(own.mountPoint);
  const directories = directoriesAbove(real).filter((place) => isAt(place, highest));
  const remark =
    mount.mountPoint === '/'
      ? ''
      : ` (directories above ${decode(mount.mountPoint)} in its mount namespace were not looked at)`;
  return { directories: directories.map(inodeAt), socket, seenAs: decode(at), remark, isHere: false };
}

/**
 * Maximum number of mounts of a process that hold the socket and are checked for mounts on top: each check reads all
 * mounts.
 */
const MAX_HOLDING = 32;
/** Longer paths can't be given to the kernel. */
const MAX_PATH_BYTES = 4_096;

/** The last mount in which the process sees the socket, and where. @throws Error if too many mounts hold the socket */
function seenBy(mounts: readonly Mount[], { mount: own, inside }: Site): { mount: Mount; at: string } | undefined {
  let holding = 0;
  for (const mount of mounts.toReversed()) {
    const { device, root, mountPoint } = mount;
    if (device !== own.device || !isAt(inside, root) || mountPoint.length > MAX_PATH_BYTES) continue;
    holding += 1;
    if (holding > MAX_HOLDING)
      throw new Error(`more than ${MAX_HOLDING} of its mounts hold the socket, and others hide them`);
    const at = path.posix.join(mountPoint, path.posix.relative(root, inside));
    if (mountAt(mounts, at) === mount) return { mount, at };
  }
  return undefined;
}

/** The mount that is seen at a path: the last one above it. */
function mountAt(mounts: readonly Mount[], place: string): Mount | undefined {
  return mounts.findLast(({ mountPoint }) => isAt(place, mountPoint));
}

/** True of the place itself and of what is below it, by the text. */
function isAt(place: string, above: string): boolean {
  if (!place.startsWith(above)) return false;
  return place.length === above.length || above === '/' || place[above.length] === '/';
}

function encode(place: string): string {
  return Buffer.from(place, 'utf8').toString('latin1');
}

function decode(place: string): string {
  return Buffer.from(place, 'latin1').toString('utf8');
}

/** Without symbolic links; undefined if nothing is there. */
function realSocket(socket: string): string | undefined {
  try {
    return fs.realpathSync(socket);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

/** From the root down. */
function directoriesAbove(file: string): string[] {
  const directories: string[] = [];
  for (let place = path.dirname(file); ; place = path.dirname(place)) {
    directories.unshift(place);
    if (place === path.dirname(place)) return directories;
  }
}

function inodeAt(place: string): Inode & { readonly place: string } {
  const { uid, gid, mode } = fs.statSync(place);
  return { place, uid, gid, mode };
}
