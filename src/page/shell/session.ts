/** Who is signed in: the session behind the cookie, which scripts cannot read. */

import { signal } from '@preact/signals';
import type { OwnPageSession } from '../../gen/admin-api.ts';
import { ApiError, api, authorize } from './api.ts';

export type Session = OwnPageSession;
export type Role = Session['role'];

export type SessionState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'in'; readonly session: Session }
  /** why: the reason for the reader; undefined where there was no session. */
  | { readonly kind: 'out'; readonly why?: string | undefined };

export const session = signal<SessionState>({ kind: 'starting' });

const ROLES: readonly Role[] = ['read', 'entries', 'admin'];

/** Whether the session's role includes this one. Views leave out what the server would refuse. */
export function can(role: Role): boolean {
  const state = session.value;
  return state.kind === 'in' && ROLES.indexOf(state.session.role) >= ROLES.indexOf(role);
}

function codeOfLink(): string | null {
  return new URLSearchParams(location.hash.slice(1)).get('code');
}

/** Whether the address is that of a link. */
export function hasCode(): boolean {
  return codeOfLink() !== null;
}

/** Takes the code out of the address before anything else can see it, and makes it, or the cookie, a session. */
export async function signIn(): Promise<void> {
  const code = codeOfLink();
  if (location.hash !== '') history.replaceState(history.state, '', location.pathname + location.search);
  try {
    enter(code === null ? await api.getPageSession() : await api.signInToPage({ body: { code } }));
  } catch (thrown) {
    // A link that is opened again leads to the session that it made.
    const present = code === null ? undefined : await api.getPageSession().catch(() => undefined);
    if (present === undefined) leave(thrown, code === null);
    else enter(present);
  }
}

/** Ends the session here and on the server. */
export async function signOut(): Promise<void> {
  await api.signOutOfPage().catch(() => undefined);
  authorize(undefined, () => undefined);
  session.value = { kind: 'out', why: 'You signed out.' };
}

function enter(made: Session): void {
  authorize(made.csrf, (error) => leave(error, false));
  session.value = { kind: 'in', session: made };
}

function leave(thrown: unknown, quiet: boolean): void {
  if (session.peek().kind === 'out') return;
  const isRefused = thrown instanceof ApiError && thrown.status === 401;
  session.value = { kind: 'out', why: quiet && isRefused ? undefined : messageOf(thrown) };
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
