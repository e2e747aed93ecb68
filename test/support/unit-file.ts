/** The unit files, and what of its restrictions a test can put on a server without systemd. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './serve.ts';

export type UnitName = 'sidekey' | 'sidekey-agent';

/** Where `npm install -g --prefix /usr/local` puts the command. */
const INSTALLED = '/usr/local/bin/sidekey';

export function unitFile(name: UnitName = 'sidekey'): string {
  return readFileSync(path.join(ROOT, `packaging/${name}.service`), 'utf8');
}

/** The unit for the program of this clone. */
export function unitHere(name?: UnitName): string {
  return unitFile(name).replaceAll(INSTALLED, path.join(ROOT, 'bin/sidekey'));
}

/** The words of a setting, which may occur several times. */
export function settingOf(name: string, unit = unitFile()): string[] {
  const lines = unit.split('\n').filter((line) => line.startsWith(`${name}=`));
  return lines.flatMap((line) => line.slice(name.length + 1).split(' '));
}

export interface Restrictions {
  /** The only directory that can be written. */
  readonly writable: string;
  /** `CAP_…`, by default those of the unit. */
  readonly capabilities?: readonly string[];
}

/** ProtectSystem=strict, PrivateTmp=, PrivateDevices=, ProtectKernelTunables= and ProtectControlGroups=, as far as they count here. */
const MOUNTS = `set -e
root=$1 place=$2
shift 2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/place /mnt/root /mnt/dev
mount --rbind "$place" /mnt/place
mount --rbind "$root" /mnt/root
for d in null zero full random urandom; do : >"/mnt/dev/$d"; mount --bind "/dev/$d" "/mnt/dev/$d"; done
mount -t tmpfs tmpfs /tmp
mkdir -p "$root"; mount --rbind /mnt/root "$root"
mkdir -p "$place"; mount --rbind /mnt/place "$place"
mount --rbind /mnt/dev /dev
for d in /proc/sys /sys; do mount --rbind "$d" "$d"; done
for d in / "$root" /proc/sys /sys; do mount -o remount,bind,ro "$d"; done
exec "$@"`;

/** A command that executes its arguments with the unit's capabilities, system calls and mounts; only for root. */
export function restrictedLauncher({ writable, capabilities }: Restrictions): string[] {
  const kept = (capabilities ?? settingOf('CapabilityBoundingSet')).map((name) => `+${name.slice(4).toLowerCase()}`);
  return [
    ...['unshare', '--mount', '--propagation', 'private'],
    ...['sh', '-c', MOUNTS, 'sh', ROOT, writable],
    ...['setpriv', `--bounding-set=-all,${kept.join(',')}`, '--inh-caps=-all', '--no-new-privs'],
    ...[process.execPath, path.join(import.meta.dirname, 'unit-filter-program.ts')],
    ...[settingOf('SystemCallFilter').join(','), settingOf('RestrictAddressFamilies').join(',')],
  ];
}
