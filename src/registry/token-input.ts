/** Reads tokens from user input. */

import { ROLES, type Role } from '../base/index.ts';
import { readExpiresAt } from './entry-readers.ts';
import { collect, Place, readObject, show } from './place.ts';
import { FILE_TOKEN_NAME } from './token.ts';
import type { TokenInput } from './tokens.ts';

export const TOKEN_NAME = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$';
const NAME_RULE = `a name is 1 to 64 of the characters A-Z a-z 0-9 . _ -, begins with a letter or digit, and is not ${FILE_TOKEN_NAME}`;
const ROLE_RULE = `a role is one of ${ROLES.join(', ')}; each includes those before it`;
const BODY_RULE = 'the body is an object with name, role and, if the token shall expire, expires_at';
const FIELDS: readonly string[] = ['name', 'role', 'expires_at'];

/** Reads `{"name", "role", "expires_at"}`. @param now milliseconds since the epoch @throws ERR_BAD_INPUT with every problem */
export function parseTokenInput(value: unknown, now: number): TokenInput {
  return collect((problems) => {
    const place = new Place('', problems);
    const body = readObject(value, place, BODY_RULE);
    if (body === undefined) return undefined;
    for (const key of Object.keys(body)) {
      if (!FIELDS.includes(key)) place.at(key).fault('there is no such field', BODY_RULE);
    }
    const name = readName(body.name, place.at('name'));
    const role = readRole(body.role, place.at('role'));
    const expiresAt = body.expires_at === undefined ? 0 : readExpiresAt(body.expires_at, place.at('expires_at'));
    if (expiresAt !== undefined && expiresAt !== 0 && expiresAt <= now) {
      place.at('expires_at').fault(`it is ${show(body.expires_at)}, which is past`, 'a token expires in the future');
    }
    return name === undefined || role === undefined || expiresAt === undefined ? undefined : { name, role, expiresAt };
  });
}

function readName(value: unknown, place: Place): string | undefined {
  if (typeof value === 'string' && new RegExp(TOKEN_NAME).test(value) && value !== FILE_TOKEN_NAME) return value;
  return place.fault(`it is ${show(value)}`, NAME_RULE);
}

function readRole(value: unknown, place: Place): Role | undefined {
  return ROLES.find((role) => role === value) ?? place.fault(`it is ${show(value)}`, ROLE_RULE);
}
