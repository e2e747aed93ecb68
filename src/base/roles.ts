/** Roles of callers of the admin API. Each includes the rights of those before it. */

export const ROLES = ['metrics', 'read', 'entries', 'admin'] as const;

export type Role = (typeof ROLES)[number];

/** Whether a caller with the role `has` may do what needs the role `needed`. */
export function includesRole(has: Role, needed: Role): boolean {
  return ROLES.indexOf(has) >= ROLES.indexOf(needed);
}
