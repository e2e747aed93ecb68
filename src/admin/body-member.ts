/** Bodies with few members. */

import { SidekeyError } from '../base/index.ts';

/**
 * A member of a body. @param rule what the body must be @param others the names of its other members
 * @throws ERR_BAD_INPUT for further members, or no object
 */
export function readMember(body: unknown, name: string, rule: string, others: readonly string[] = []): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw SidekeyError.badInput([{ path: '', problem: 'it is not a JSON object', rule }]);
  }
  const unknown = Object.keys(body).find((key) => key !== name && !others.includes(key));
  if (unknown !== undefined) {
    throw SidekeyError.badInput([{ path: `/${unknown}`, problem: 'there is no such field', rule }]);
  }
  return (body as Record<string, unknown>)[name];
}
