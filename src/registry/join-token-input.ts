/** Reads the input for a token with which an agent joins. */

import type { JoinTokenInput } from './agents.ts';
import { readSpiffeId, readTtl } from './entry-readers.ts';
import type { EntryRules } from './entry-rules.ts';
import { collect, Place, readObject, show } from './place.ts';

/** Seconds. */
const DEFAULT_TTL = 600;
const MAX_TTL = 7 * 86_400;
const TTL_RULE = `a token is valid for 1 second to 7 days; ${DEFAULT_TTL} seconds by default`;
const BODY_RULE = 'the body is an object with ttl and spiffe_id, or neither';
const FIELDS: readonly string[] = ['ttl', 'spiffe_id'];

/** Reads `{"ttl", "spiffe_id"}`. @param now milliseconds since the epoch @throws ERR_BAD_INPUT with every problem */
export function parseJoinTokenInput(
  value: unknown,
  rules: Pick<EntryRules, 'trustDomain'>,
  now: number,
): JoinTokenInput {
  return collect((problems) => {
    const place = new Place('', problems);
    const body = readObject(value, place, BODY_RULE);
    if (body === undefined) return undefined;
    for (const key of Object.keys(body)) {
      if (!FIELDS.includes(key)) place.at(key).fault('there is no such field', BODY_RULE);
    }
    const ttl = body.ttl === undefined ? DEFAULT_TTL : readTtl(body.ttl, place.at('ttl'));
    const alias = body.spiffe_id === undefined ? '' : readSpiffeId(body.spiffe_id, place.at('spiffe_id'), rules);
    if (ttl !== undefined && (ttl < 1 || ttl > MAX_TTL)) place.at('ttl').fault(`it is ${show(body.ttl)}`, TTL_RULE);
    return ttl === undefined || alias === undefined ? undefined : { alias, expiresAt: now + ttl * 1000 };
  });
}
