/** What the server's host gives it: /proc, disk, descriptors, attestors, and how near its limits are. */

import type { DoctorJson } from '../admin/doctor-schema.ts';
import { attestorOf } from '../attest/catalog.ts';
import type { AttestorFailure } from '../attest/description.ts';
import type { Finding, Severity } from '../base/finding.ts';
import { shellQuote } from '../base/shell.ts';

type Restart = (...flags: string[]) => string | undefined;

const NO_PIDFD_OPEN = 'have the seccomp profile of the server allow pidfd_open';
const MIB = 1024 * 1024;
/** A day of a busy server's issuances. */
const LOW_BYTES = 256 * MIB;
const NO_BYTES = 16 * MIB;
const LOW_INODES = 1_000;
/** From this share of a limit on it is nearly reached. */
const NEARLY = 0.8;

/** @param restart the command that starts the server anew with these flags more, if known */
export function judgeHost(known: DoctorJson, restart: Restart): Finding[] {
  return [
    ...judgeUnlooked(known),
    ...judgeKernel(known),
    ...judgeDisk(known),
    ...judgeAttestors(known),
    ...judgeProc(known),
    ...judgeUnseen(known),
    ...judgeReplaced(known),
    ...judgeLabels(known),
    ...judgeLimits(known, restart),
  ];
}

function judgeUnlooked({ unseen }: DoctorJson): Finding[] {
  return unseen.map(({ what, error }) => ({
    rule: 'not-seen',
    severity: 'error',
    place: what,
    problem: `the server can't look at it: ${error}`,
    why: 'faults of it are not found',
    fix: error.includes('EMFILE')
      ? 'the server has no descriptor left: end connections, or start it with a higher limit (systemd: LimitNOFILE=)'
      : 'let the server read it, and run sidekey doctor again',
  }));
}

function judgeKernel({ kernel, unmapped }: DoctorJson): Finding[] {
  const findings: Finding[] = [];
  if (!kernel.pins_peers) {
    findings.push({
      rule: 'unpinned-peers',
      severity: 'warning',
      place: 'the kernel',
      problem: 'it does not say which process connected: it has no SO_PEERPIDFD',
      why: 'a process that ends right after it connected may leave its pid to another one of the same user, and whoever holds the connection gets its identities (--allow-unpinned-peers)',
      fix: 'run the server on Linux 6.5 or later',
    });
  }
  if (kernel.no_pidfd_open !== null) {
    findings.push({
      rule: 'no-pidfd-open',
      severity: 'info',
      place: 'the kernel',
      problem: kernel.no_pidfd_open,
      why: 'sidekey explain --pid can look at no process, and with --docker-socket no caller in a container is attested',
      fix: NO_PIDFD_OPEN,
    });
  }
  if (unmapped.uid !== null) {
    findings.push({
      rule: 'unmapped-users',
      severity: 'info',
      place: 'the user namespace',
      problem: `the server's leaves users of the host out, who all read as uid ${unmapped.uid}`,
      why: 'callers of those users are not told apart, so none of them gets an identity',
      fix: 'run the server outside of that user namespace, or map the users who call',
    });
  }
  return findings;
}

function judgeReplaced({ replaced_programs: replaced }: DoctorJson): Finding[] {
  const [first] = replaced.sample;
  if (first === undefined) return [];
  const more = replaced.count === 1 ? '' : `, and so it is with ${replaced.count - 1} more`;
  return [
    {
      rule: 'program-replaced',
      severity: first.keeps_path ? 'info' : 'warning',
      place: first.path,
      problem: `process ${first.pid} (uid ${first.uid}) runs a file that was replaced or deleted since${more}`,
      why: first.keeps_path
        ? 'its connection keeps unix:path; a new one would have none'
        : 'it has no unix:path, so no entry that asks for one matches it',
      fix: 'restart the program',
    },
  ];
}

function judgeLabels({ ambiguous_labels: labels }: DoctorJson): Finding[] {
  const [first] = labels.sample;
  if (first === undefined) return [];
  const more = labels.count === 1 ? '' : `, and ${labels.count - 1} more labels are like it`;
  return [
    {
      rule: 'label-ambiguous',
      severity: 'warning',
      place: `container ${first.container}`,
      problem: `it has a label whose key has a colon and that reads as ${first.selector}, which an entry asks for${more}`,
      why: 'such a label gives no selector, since it could pass for one with a shorter key',
      fix: 'give the label a key without colons, and have the entry ask for that',
    },
  ];
}

function judgeDisk({ disk, data_dir: place }: DoctorJson): Finding[] {
  if (disk === null) return [];
  const { free_bytes: bytes, free_inodes: inodes } = disk;
  if (bytes >= LOW_BYTES && inodes >= LOW_INODES) return [];
  const severity: Severity = bytes < NO_BYTES || inodes === 0 ? 'error' : 'warning';
  const left = bytes < LOW_BYTES ? `${Math.floor(bytes / MIB)} MiB` : `room for ${inodes} files`;
  const problem = `the file system of the data directory has ${left} left`;
  const why = 'every issuance goes on record before it is given out: on a full disk nobody gets or renews an identity';
  return [
    {
      rule: 'disk-space',
      severity,
      place,
      problem,
      why,
      fix: `make room: df -h ${shellQuote(place)} says which file system, du -xsh what is in it`,
    },
  ];
}

function judgeAttestors(known: DoctorJson): Finding[] {
  return known.attestors.flatMap(({ name, error }): Finding[] => {
    if (error === null) return [];
    const failure = attestorOf(name)?.failure;
    const place = (failure && known[failure.place]) ?? name;
    const why = failure?.why ?? 'no caller gets an identity while it fails';
    return [
      { rule: `attestor-${name}`, severity: 'error', place, problem: error, why, ...fixOf(error, place, failure) },
    ];
  });
}

function fixOf(error: string, place: string, failure: AttestorFailure | undefined): Pick<Finding, 'fix' | 'command'> {
  if (error.startsWith('pidfd_open')) return { fix: NO_PIDFD_OPEN };
  return failure?.fix(error, place) ?? { fix: 'see the log of the server' };
}

function judgeProc({ proc, uid }: DoctorJson): Finding[] {
  if (proc === null) return [];
  const findings: Finding[] = [];
  if (proc.hidepid !== null && uid !== 0) {
    findings.push({
      rule: 'hidepid',
      severity: 'error',
      place: '/proc',
      problem: `it is mounted with hidepid=${proc.hidepid}, and the server runs as uid ${uid}`,
      why: 'the server sees no process of another user, so that none of them is attested',
      fix: 'mount -o remount,hidepid=0 /proc, or run sidekey serve with the group of the mount option gid=',
    });
  }
  if (!proc.others_executables) {
    findings.push({
      rule: 'no-ptrace',
      severity: 'info',
      place: '/proc',
      problem: `the server (uid ${uid}) may not look at the executables of other users`,
      why: 'callers of other users have no unix:path and no unix:sha256',
      fix: 'run sidekey serve with CAP_SYS_PTRACE (systemd: AmbientCapabilities=CAP_SYS_PTRACE), if entries select by them',
    });
  }
  return findings;
}

function judgeUnseen({ unseen_callers: unseen }: DoctorJson): Finding[] {
  if (unseen.count === 0) return [];
  const problem = `callers of uid ${unseen.uid} come from a pid namespace that the server does not see, last at ${unseen.last_at}`;
  const why = 'the kernel names no process for them, so they are refused';
  const fix = "run the server in the host's pid namespace (docker run --pid=host, compose: pid: host)";
  return [{ rule: 'pid-namespace', severity: 'error', place: 'the pipe', problem, why, fix }];
}

function judgeLimits({ usage, descriptors }: DoctorJson, restart: Restart): Finding[] {
  const findings = usage
    .filter(({ used, limit }) => used >= NEARLY * limit)
    .map(({ setting, owner, used, limit }): Finding => {
      const severity = used >= limit ? 'error' : 'warning';
      const problem = `${owner} uses ${used} of ${limit}`;
      const why = 'what goes beyond is refused';
      const fix = `sidekey serve ${setting} ${2 * limit}, if they are all yours; else end those that are not`;
      const command = restart(setting, String(2 * limit));
      return { rule: 'limit', severity, place: setting, problem, why, fix, command };
    });
  if (descriptors === null) return findings;
  const { open, limit, refused_connections: refused } = descriptors;
  if (open < NEARLY * limit && refused === 0) return findings;
  const held = `the server has ${open} of ${limit} descriptors open`;
  const problem = refused === 0 ? held : `${held}; ${refused} connections on the pipe were refused for want of them`;
  const why = 'every connection takes two: without any, nobody connects';
  const fix = `systemd: LimitNOFILE=${4 * limit}; a shell: ulimit -n ${4 * limit} before sidekey serve`;
  return [
    ...findings,
    { rule: 'descriptors', severity: refused === 0 ? 'warning' : 'error', place: 'the server', problem, why, fix },
  ];
}
