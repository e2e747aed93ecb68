/** Finds the process that listens on a TCP port of this host, by the kernel's tables. @see proc_pid_net(5) */

import fs from 'node:fs';
import { readable } from '../base/index.ts';

const LISTENS = '0A';

/**
 * The pid; undefined for an address of another host, if no process listens there, or if this user may not see its
 * descriptors. For a port that a container publishes, this is the pid of the engine's proxy.
 */
export function listeningProcess(host: string, port: number): number | undefined {
  if (!isLoopback(host)) return undefined;
  const inodes = new Set(['tcp', 'tcp6'].flatMap((table) => listenersIn(table, port)));
  if (inodes.size === 0) return undefined;
  for (const name of fs.readdirSync('/proc')) {
    if (/^\d+$/.test(name) && hasSocket(name, inodes)) return Number(name);
  }
  return undefined;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

/** Inodes of the sockets that listen on the port. */
function listenersIn(table: string, port: number): string[] {
  const text = readable(() => fs.readFileSync(`/proc/net/${table}`, 'latin1')) ?? '';
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    return fields[3] === LISTENS && fields[1]?.endsWith(local) === true ? [fields[9]!] : [];
  });
}

function hasSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const target = readable(() => fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
      return inodes.has(/^socket:\[(\d+)\]$/.exec(target ?? '')?.[1] ?? '');
    });
  } catch {
    // The process has ended, or belongs to another user.
    return false;
  }
}
