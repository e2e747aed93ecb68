/** Reads aliases from user input. */

import { domainToASCII } from 'node:url';
import { type Problem, SidekeyError } from '../base/index.ts';
import { type ReservedNames, SPIRE_NAMES, type SpiffeId, type TrustDomain } from '../spiffe/index.ts';
import { aliasKey } from './alias.ts';
import { snakeCase } from './entry-names.ts';
import { readSpiffeId } from './entry-readers.ts';
import { collect, Place, readObject, show } from './place.ts';

const MAX_HOST = 253;
const HOST_RULE = `an alias is a name of 1 to ${MAX_HOST} visible ASCII characters, such as the host name that a TLS client sends (SNI)`;

/**
 * Reads the name of an alias. On-demand secrets are requested by host name; other names from an Envoy configuration
 * (`web_cert`, `cert:web`) are accepted too, unless they have another meaning.
 * @throws ERR_BAD_INPUT
 */
export function parseAliasHost(text: string, reserved: ReservedNames = SPIRE_NAMES): string {
  const fault = hostFault(text, [reserved.default, reserved.bundle, reserved.allBundles]);
  if (fault !== undefined) throw SidekeyError.badInput([{ path: 'host', ...fault }]);
  return aliasKey(text);
}

function hostFault(text: string, reserved: readonly string[]): Omit<Problem, 'path'> | undefined {
  const problem = `it is ${show(text)}`;
  if (/[^\x21-\x7e]/.test(text)) {
    const ascii = domainToASCII(text);
    return { problem, rule: ascii === '' ? HOST_RULE : `clients send other letters as ASCII: ${ascii}` };
  }
  if (text === '' || text.length > MAX_HOST) return { problem: `it has ${text.length} characters`, rule: HOST_RULE };
  if (/^spiffe:/i.test(text)) return { problem, rule: 'a SPIFFE ID stands for itself and has no alias of its name' };
  // Case-insensitive: a name that differs from a reserved one only in case would mislead.
  if (reserved.some((name) => aliasKey(name) === aliasKey(text))) {
    const names = [...new Set(reserved)];
    return { problem, rule: `${names.slice(0, -1).join(', ')} and ${names.at(-1)} have a meaning of their own` };
  }
  if (text.includes('*')) return { problem, rule: 'an alias is one name: give one for each, no wildcard' };
  if (text.endsWith('.'))
    return { problem, rule: 'clients send host names with no dot at the end (RFC 6066, section 3)' };
  return undefined;
}

const BODY_RULE = 'the body is an object with spiffe_id, and nothing else';

/** Reads `{"spiffe_id": "…"}`. @throws ERR_BAD_INPUT with every problem */
export function parseAliasTarget(value: unknown, trustDomain: TrustDomain): SpiffeId {
  return collect((problems) => {
    const place = new Place('', problems);
    const body = readObject(value, place, BODY_RULE);
    if (body === undefined) return undefined;
    const given = Object.keys(body).filter((name) => snakeCase(name) === 'spiffe_id');
    for (const name of Object.keys(body)) {
      if (name !== given[0]) place.at(name).fault('there is no such field', BODY_RULE);
    }
    const name = given[0] ?? 'spiffe_id';
    return readSpiffeId(body[name], place.at(name), { trustDomain });
  });
}
