/** Reads requests for links and sessions of the page. */

import { nearest, type Problem, type Role, SidekeyError } from '../../base/index.ts';
import { TOKEN_NAME } from '../../registry/index.ts';
import { isObject } from '../entry-requests.ts';
import { SESSION_ROLES, type SessionRole } from './sessions.ts';

const LINK_RULE = 'the body is an object with, if wanted, role and name';
const ROLE_RULE = `a role is one of ${SESSION_ROLES.join(', ')}; each includes those before it`;
const NAME_RULE = 'a name is 1 to 64 of the characters A-Z a-z 0-9 . _ -, and begins with a letter or digit';
const CODE_RULE = 'the body is an object with the code of a link';

/** @throws ERR_BAD_INPUT with every problem */
export function readLinkInput(body: unknown): { role: SessionRole | undefined; name: string | undefined } {
  const problems: Problem[] = [];
  if (!isObject(body)) throw SidekeyError.badInput([{ path: '', problem: 'it is not an object', rule: LINK_RULE }]);
  refuseOthers(body, ['role', 'name'], LINK_RULE, problems);
  const { role, name } = body;
  if (role !== undefined && !isSessionRole(role)) {
    const meant = typeof role === 'string' ? nearest(role, SESSION_ROLES) : undefined;
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    problems.push({ path: '/role', problem: `it is ${brief(role)}${hint}`, rule: ROLE_RULE });
  }
  if (name !== undefined && !(typeof name === 'string' && new RegExp(TOKEN_NAME).test(name))) {
    problems.push({ path: '/name', problem: `it is ${brief(name)}`, rule: NAME_RULE });
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return { role: role as SessionRole | undefined, name: name as string | undefined };
}

/** The code is not repeated in messages. @throws ERR_BAD_INPUT */
export function readCode(body: unknown): string {
  const problems: Problem[] = [];
  if (!isObject(body)) throw SidekeyError.badInput([{ path: '', problem: 'it is not an object', rule: CODE_RULE }]);
  refuseOthers(body, ['code'], CODE_RULE, problems);
  if (typeof body.code !== 'string') problems.push({ path: '/code', problem: 'it is not a text', rule: CODE_RULE });
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return body.code as string;
}

export function isSessionRole(role: unknown): role is SessionRole {
  return SESSION_ROLES.includes(role as Extract<Role, SessionRole>);
}

function refuseOthers(body: object, members: readonly string[], rule: string, problems: Problem[]): void {
  const unknown = Object.keys(body).find((name) => !members.includes(name));
  if (unknown !== undefined)
    problems.push({ path: `/${unknown.slice(0, 100)}`, problem: 'there is no such field', rule });
}

function brief(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}
