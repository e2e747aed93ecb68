/** Refusals have an id, so that the text a client sees leads to the record of why. */

import { randomBytes } from 'node:crypto';

/** `d-` and 12 hex digits. */
export function newDecisionId(): string {
  return `d-${randomBytes(6).toString('hex')}`;
}
