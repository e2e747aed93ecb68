/** Checks the server's host and resources: /proc, disk, descriptors, attestors, and limits that are nearly reached. */

import type { DoctorJson } from '../admin/index.ts';
import { type AttestorFailure, attestorOf, PTRACE_REMEDY } from '../attest/index.ts';
import { type Finding, type Severity, shellQuote } from '../base/index.ts';

type Restart = (...flags: string[]) => string | undefined;

const NO_PIDFD_OPEN = 'allow pidfd_open in the seccomp profile of the server';
const MIB = 1024 * 1024;
/** Less free space than this is reported, in bytes: a busy server's issuances of a day need about as much. */
const LOW_BYTES = 256 * MIB;
const NO_BYTES = 16 * MIB;
const LOW_INODES = 1_000;
/** The share of a limit that counts as nearly reached. */
const NEARLY = 0.8;

/** @param restart makes the command that restarts the server with additional flags, if known */
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
    problem: `the server can't read it: ${error}`,
    why: 'faults there are not found',
    fix: fixOfUnlooked(error),
  }));
}

function fixOfUnlooked(error: string): string {
  if (error.includes('EMFILE')) {
    return 'the server has no descriptor left: end connections, or restart it with a higher limit (systemd: LimitNOFILE=)';
  }
  if (error.includes('stopped after')) {
    return 'a user has very many processes, or processes with very many mounts: find it (ps -eo user= | sort | uniq -c), or ask about one process (sidekey explain --pid PID)';
  }
  return 'give the server read access, and run sidekey doctor again';
}

function judgeKernel({ kernel, unmapped }: DoctorJson): Finding[] {
  const findings: Finding[] = [];
  if (!kernel.pins_peers) {
    findings.push({
      rule: 'unpinned-peers',
      severity: 'warning',
      place: 'the kernel',
      problem: 'it has no SO_PEERPIDFD, so it does not say which process connected',
      why: 'after a caller ends, another process of the same user may get its pid, and the process that has the connection open gets the identities of that process (--allow-unpinned-peers)',
      fix: 'run the server on Linux 6.5 or later',
    });
  }
  if (kernel.no_pidfd_open !== null) {
    findings.push({
      rule: 'no-pidfd-open',
      severity: 'info',
      place: 'the kernel',
      problem: kernel.no_pidfd_open,
      why: 'sidekey explain --pid does not work, and with --docker-socket no caller in a container is attested',
      fix: NO_PIDFD_OPEN,
    });
  }
  if (unmapped.uid !== null) {
    findings.push({
      rule: 'unmapped-users',
      severity: 'info',
      place: 'the user namespace',
      problem: `the server's user namespace does not map all users of the host; the others all read as uid ${unmapped.uid}`,
      why: 'callers of unmapped users can not be told apart, so none of them gets an identity',
      fix: 'run the server outside that user namespace, or map the users of the callers',
    });
  }
  return findings;
}

function judgeReplaced({ replaced_programs: replaced }: DoctorJson): Finding[] {
  const [first] = replaced.sample;
  if (first === undefined) return [];
  const more = replaced.count === 1 ? '' : ` (and ${replaced.count - 1} more)`;
  return [
    {
      rule: 'program-replaced',
      severity: first.keeps_path ? 'info' : 'warning',
      place: first.path,
      problem: `process ${first.pid} (uid ${first.uid}) runs a file that was replaced or deleted since${more}`,
      why: first.keeps_path
        ? 'its present connection keeps unix:path; a new connection would have none'
        : 'it has no unix:path, so no entry that asks for one matches it',
      fix: 'restart the program',
    },
  ];
}

function judgeLabels({ ambiguous_labels: labels }: DoctorJson): Finding[] {
  const [first] = labels.sample;
  if (first === undefined) return [];
  const more = labels.count === 1 ? '' : ` (and ${labels.count - 1} more)`;
  return [
    {
      rule: 'label-ambiguous',
      severity: 'warning',
      place: `container ${first.container}`,
      problem: `it has a label whose key has a colon, and which reads as ${first.selector}, which an entry asks for${more}`,
      why: 'such a label gives no selector, because it could be mistaken for a label with a shorter key',
      fix: 'give the label a key without colons, and change the entry to that key',
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
  const why = 'every issuance is recorded on disk first: when the disk is full, no SVID is issued or renewed';
  return [
    {
      rule: 'disk-space',
      severity,
      place,
      problem,
      why,
      fix: `free space: df -h ${shellQuote(place)} shows the file system, du -xsh the size of directories in it`,
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
      why: 'the server sees no processes of other users, so these are not attested',
      fix: 'mount -o remount,hidepid=0 /proc, or run sidekey serve with the group of the mount option gid=',
    });
  }
  if (!proc.others_executables) {
    findings.push({
      rule: 'no-ptrace',
      severity: 'info',
      place: '/proc',
      problem: `the server (uid ${uid}) may not read the executables of other users' processes`,
      why: 'callers of other users have no unix:path and no unix:sha256',
      fix: `${PTRACE_REMEDY}, if entries select by them`,
    });
  }
  return findings;
}

function judgeUnseen({ unseen_callers: unseen }: DoctorJson): Finding[] {
  if (unseen.count === 0) return [];
  const problem = `callers of uid ${unseen.uid} are in a pid namespace that the server does not see; the last one came at ${unseen.last_at}`;
  const why = 'the kernel reports pid 0 for them, so they are refused';
  const fix = "run the server in the host's pid namespace (docker run --pid=host, compose: pid: host)";
  return [{ rule: 'pid-namespace', severity: 'error', place: 'the pipe', problem, why, fix }];
}

function judgeLimits({ usage, descriptors }: DoctorJson, restart: Restart): Finding[] {
  const findings = usage
    .filter(({ used, limit }) => used >= NEARLY * limit)
    .map(({ setting, owner, used, limit }): Finding => {
      const severity = used >= limit ? 'error' : 'warning';
      const problem = `${owner} uses ${used} of ${limit}`;
      const why = 'anything beyond the limit is refused';
      const fix = `sidekey serve ${setting} ${2 * limit}, if this use is intended; otherwise end the processes that cause it`;
      const command = restart(setting, String(2 * limit));
      return { rule: 'limit', severity, place: setting, problem, why, fix, command };
    });
  if (descriptors === null) return findings;
  const { open, limit, refused_connections: refused } = descriptors;
  if (open < NEARLY * limit && refused === 0) return findings;
  const held = `the server has ${open} of ${limit} descriptors open`;
  const problem =
    refused === 0 ? held : `${held}; ${refused} connections on the pipe were refused because none was free`;
  const why = 'every connection needs two; without free descriptors no client can connect';
  const fix = `systemd: LimitNOFILE=${4 * limit}; a shell: ulimit -n ${4 * limit} before sidekey serve`;
  return [
    ...findings,
    { rule: 'descriptors', severity: refused === 0 ? 'warning' : 'error', place: 'the server', problem, why, fix },
  ];
}
