/** The rules of audiences. */

import { compareText } from '../spiffe/index.ts';
import { AudienceError } from './errors.ts';

/** In bytes of UTF-8. */
export const MAX_AUDIENCE_BYTES = 1_024;

/** SPIRE's text, which clients know. */
export const AUDIENCE_MISSING = 'audience must be specified';

/** U+FFFD stands for bytes that are not UTF-8, so that two different audiences might look the same. */
const REFUSED = /[\p{Cc}\p{Cs}\ufffd]/u;

/**
 * The audiences of a token: sorted, each one once. A blank one counts as missing, since go-spiffe sends one if its user
 * names none.
 * @param most the maximum number
 * @throws AudienceError
 */
export function checkAudiences(given: readonly string[], most: number): string[] {
  if (given.length > most)
    throw new AudienceError(`there are ${given.length} audiences, and a JWT-SVID has at most ${most}`);
  if (given.every(isBlank)) throw new AudienceError(AUDIENCE_MISSING);
  for (const [index, audience] of given.entries()) {
    const problem = problemOf(audience);
    if (problem !== undefined) throw new AudienceError(`audience ${index + 1} ${problem}`);
  }
  return [...new Set(given)].sort(compareText);
}

export function isBlank(audience: string): boolean {
  return audience.trim() === '';
}

function problemOf(audience: string): string | undefined {
  // A text has at least as many bytes as UTF-16 units.
  const bytes = audience.length > MAX_AUDIENCE_BYTES ? audience.length : Buffer.byteLength(audience);
  if (bytes > MAX_AUDIENCE_BYTES) return `is too long: an audience has at most ${MAX_AUDIENCE_BYTES} bytes`;
  if (isBlank(audience)) return 'is blank';
  return REFUSED.test(audience) ? 'has a control character, or bytes that are not UTF-8' : undefined;
}
