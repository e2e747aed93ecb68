/** Bodies with one member. */

import { SidekeyError } from '../base/index.ts';

/** The only member of a body. @param rule what the body must be @throws ERR_BAD_INPUT for other members, or no object */
export function readMember(body: unknown, name: string, rule: string): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw SidekeyError.badInput([{ path: '', problem: 'it is not a JSON object', rule }]);
  }
  const unknown = Object.keys(body).find((key) => key !== name);
  if (unknown !== undefined) {
    throw SidekeyError.badInput([{ path: `/${unknown}`, problem: 'there is no such field', rule }]);
  }
  return (body as Record<string, unknown>)[name];
}
