/** Whose word a fact about a caller is, for people who look for the fault. The attestors' own comments say more. */

const SOURCES: Readonly<Record<string, string>> = {
  'unix:uid': 'the kernel: SO_PEERCRED',
  'unix:gid': 'the kernel: SO_PEERCRED',
  'unix:user': '/etc/passwd as the server sees it',
  'unix:group': '/etc/group as the server sees it',
  'unix:supplementary_gid': 'the kernel: /proc/PID/status',
  'unix:supplementary_group': '/etc/group as the server sees it',
  'unix:path': 'the kernel: /proc/PID/exe',
  'unix:sha256': 'the contents of /proc/PID/exe',
};

/** Of a fact as `type:value`. */
export function sourceOf(fact: string): string {
  const kind = fact.split(':', 2).join(':');
  return SOURCES[kind] ?? (fact.startsWith('docker:') ? 'the container engine' : 'an attestor');
}
