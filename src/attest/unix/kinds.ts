/**
 * The kinds of the unix attestor's selectors.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_unix.md
 */

import type { SelectorKinds } from '../description.ts';

const MAX_ID = 2 ** 32 - 2;

const ID_RULE = `it is a decimal number from 0 to ${MAX_ID} without leading zeros`;
const NAME_RULE = 'it is a name from passwd or group, without colons, spaces and control characters';
const PATH_RULE = 'it is the absolute path that /proc/PID/exe shows: no empty segments, no . or ..';

const ID = { fits: isId, rule: ID_RULE, ofRoot: '0' } as const;
const NAME = { fits: isName, rule: NAME_RULE, ofRoot: 'root' } as const;
const PASSWD = "the server's /etc/passwd";
const GROUP = "the server's /etc/group";
const BY_STARTER = 'root, or whoever starts the process as another user (sudo, a set-user-ID program)';
const BY_ROOT = 'as the number; root gives it its name';

export const UNIX_SELECTOR_KINDS = {
  uid: { ...ID, source: 'the kernel: SO_PEERCRED', rendered: BY_STARTER },
  gid: { ...ID, source: 'the kernel: SO_PEERCRED', rendered: BY_STARTER },
  user: { ...NAME, source: PASSWD, rendered: BY_ROOT },
  group: { ...NAME, source: GROUP, rendered: BY_ROOT },
  supplementary_gid: { ...ID, source: 'the kernel: /proc/PID/status', onDemand: 'selector' },
  supplementary_group: { ...NAME, source: GROUP, onDemand: 'selector' },
  path: { fits: isPath, rule: PATH_RULE, source: 'the kernel: /proc/PID/exe', weak: true, chosen: true },
  sha256: {
    fits: (value) => /^[0-9a-f]{64}$/.test(value),
    rule: 'it is 64 hexadecimal digits in lower case',
    source: 'the contents of /proc/PID/exe',
    weak: true,
    onDemand: 'kind',
  },
} as const satisfies SelectorKinds;

function isId(value: string): boolean {
  return /^(0|[1-9]\d{0,9})$/.test(value) && Number(value) <= MAX_ID;
}

function isName(value: string): boolean {
  return /^[^\s:\p{Cc}]+$/u.test(value);
}

function isPath(value: string): boolean {
  return (
    value.startsWith('/') &&
    value
      .slice(1)
      .split('/')
      .every((part) => part !== '' && part !== '.' && part !== '..')
  );
}
