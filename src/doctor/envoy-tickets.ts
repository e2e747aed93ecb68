/** Session ticket keys in the listeners of a running Envoy. */

import type { Finding } from '../base/index.ts';

/** Nesting of configurations; deeper ones are left out. */
const DEPTH = 32;
const FIELDS: readonly string[] = ['session_ticket_keys', 'session_ticket_keys_sds_secret_config'];

/** Whether a listener has keys anywhere. Envoy's dump shows the fields, without the keys themselves. */
export function hasTicketKeys(listener: unknown, depth = 0): boolean {
  if (typeof listener !== 'object' || listener === null || depth > DEPTH) return false;
  return Object.entries(listener).some(([name, inner]) => FIELDS.includes(name) || hasTicketKeys(inner, depth + 1));
}

/** @param listeners their names @param place the URL in findings */
export function judgeTicketKeys(listeners: readonly string[], place: string): Finding[] {
  return listeners.map((listener) => ({
    rule: 'envoy-session-tickets',
    severity: 'warning',
    place,
    problem: `its listener ${listener} has session ticket keys`,
    why: WHY,
    fix: 'remove session_ticket_keys and session_ticket_keys_sds_secret_config from its bootstrap: then Envoy makes its own keys, and each changed bundle ends their sessions',
  }));
}

const WHY =
  'with the SPIFFE validator a resumed session is not verified again, so a client whose certificate was revoked is accepted as long as neither the keys nor the authorities in the bundle change';
