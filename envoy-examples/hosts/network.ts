/** Hosts as network namespaces, each with an address on one bridge. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Host {
  readonly name: string;
  readonly address: string;
  /** The words before a command that runs it on this host. */
  readonly on: readonly string[];
}

/** Of the bridge; the hosts have the ones after it. */
const NETWORK = '10.88.0';
const BRIDGE = 'hosts0';

/** Makes the hosts in this process's network namespace, which ends with it. */
export async function makeHosts<Name extends string>(names: readonly Name[]): Promise<Record<Name, Host>> {
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', BRIDGE, 'type', 'bridge');
  ip('address', 'add', `${NETWORK}.1/24`, 'dev', BRIDGE);
  ip('link', 'set', BRIDGE, 'up');
  const hosts: [string, Host][] = [];
  for (const [i, name] of names.entries()) {
    const holder = await holdNamespace();
    const address = `${NETWORK}.${10 + i}`;
    const on = ['nsenter', '--net', '--target', String(holder.pid), '--'];
    ip('link', 'add', `host${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(holder.pid));
    ip('link', 'set', `host${i}`, 'master', BRIDGE, 'up');
    const there = (...args: string[]) => execFileSync(on[0]!, [...on.slice(1), 'ip', ...args]);
    there('link', 'set', 'lo', 'up');
    there('address', 'add', `${address}/24`, 'dev', 'eth0');
    there('link', 'set', 'eth0', 'up');
    hosts.push([name, { name, address, on }]);
  }
  return Object.fromEntries(hosts) as Record<Name, Host>;
}

/** A process that does nothing but have a network namespace. It ends with this process. */
async function holdNamespace(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.once('exit', () => holder.kill('SIGKILL'));
  // cat repeats the line once unshare has made the namespace.
  holder.stdin!.write('\n');
  await once(holder.stdout!, 'data');
  return holder;
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args);
}
