/** Selectors that no attestor of this server ever gives. */

import { nearest } from '../base/nearest.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Accounts } from './accounts.ts';

/** Says why nobody has a selector here; undefined where somebody may. */
export function whyNever(selector: Selector, attestors: ReadonlySet<string>, accounts: Accounts): string | undefined {
  const { type, value } = selector;
  if (!attestors.has(type)) return `no ${type} attestor runs here`;
  if (type !== 'unix') return undefined;
  const colon = value.indexOf(':');
  const [kind, name] = [value.slice(0, colon), value.slice(colon + 1)];
  if (kind === 'user') return whyNoName(name, accounts.users(), '/etc/passwd of the server has no user');
  const isGroup = kind === 'group' || kind === 'supplementary_group';
  return isGroup ? whyNoName(name, accounts.groups(), '/etc/group of the server has no group') : undefined;
}

function whyNoName(name: string, names: readonly string[], problem: string): string | undefined {
  if (names.includes(name)) return undefined;
  const meant = nearest(name, names);
  return `${problem} ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}
