/**
 * Records changes of the authorities in the audit. Their states are in a file, not in the audit's database, so no
 * transaction covers both: the file is written first and contains what has changed; then the row is added. If a crash
 * comes between, the next start adds the row before anything is signed.
 */

import { type Actor, type AuditAction, type AuditEvent, SERVER } from '../audit/index.ts';
import type { KeyStore } from './key-store.ts';
import type { AuditedMove, AuthorityMove, StoredMove } from './types.ts';

/** The part of the audit that the authorities need. */
export interface AuthorityAudit {
  /** Durable when the promise resolves. @throws ERR_STORE */
  append(events: readonly AuditEvent[], options?: { readonly authorityRevision?: number }): Promise<void>;
  /** The newest revision that was given to `append`; 0: none. @throws ERR_STORE */
  authorityRevision(): Promise<number>;
}

/** For tests and comparisons: records nothing. */
export const NO_AUDIT: AuthorityAudit = { append: async () => undefined, authorityRevision: async () => 0 };

const ACTIONS: Readonly<Record<AuthorityMove['state'], AuditAction>> = {
  prepared: 'authority.created',
  published: 'authority.published',
  active: 'authority.activated',
  retired: 'authority.retired',
  tainted: 'authority.tainted',
  carried: 'authority.carried',
  gone: 'authority.removed',
};

/** Adds the rows of roots, intermediates and JWT keys, whose states are in one file. */
export class AuthorityAuditor {
  readonly #audit: AuthorityAudit;
  readonly #store: KeyStore;
  /** The last flush; the next one begins after it, so that no move is added twice. */
  #flushing: Promise<void> = Promise.resolve();

  private constructor(audit: AuthorityAudit, store: KeyStore) {
    this.#audit = audit;
    this.#store = store;
  }

  /** Records what the former process could not. Reads the states first. @throws ERR_STORE; ERR_CA as {@link KeyStore.states} */
  static async open(audit: AuthorityAudit, store: KeyStore): Promise<AuthorityAuditor> {
    await store.states();
    const auditor = new AuthorityAuditor(audit, store);
    store.recorded(await audit.authorityRevision());
    await auditor.flush();
    return auditor;
  }

  /** Adds the rows of the stored moves. @throws ERR_STORE; a later call repeats it */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.catch(() => undefined).then(() => this.#flush());
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    const moves = this.#store.unrecorded;
    const last = moves.at(-1);
    if (last === undefined) return;
    await this.#audit.append(moves.flatMap(eventsOf), { authorityRevision: last.revision });
    this.#store.recorded(last.revision);
  }

  /** Records a request before it is carried out. @throws ERR_STORE */
  asked(
    at: number,
    action: 'authority.rotate_asked' | 'authority.import_asked' | 'authority.carry_asked',
    by: Actor,
    detail: object,
  ): Promise<void> {
    return this.#audit.append([{ at, action, by, detail }]);
  }
}

/** Two for a new authority that came into use at once. */
function eventsOf({ at, id, role, state, before, by, until, untilBefore }: StoredMove): AuditEvent[] {
  const shown = (name: string, end: number | undefined) => {
    return end === undefined ? { role, state: name } : { role, state: name, until: new Date(end).toISOString() };
  };
  const one = (action: AuditAction, from: string | undefined, to: string): AuditEvent => {
    const former = from === undefined ? undefined : shown(from, untilBefore);
    return { at, action, by, target: id, before: former, after: shown(to, until) };
  };
  if (before !== undefined || state === 'prepared' || state === 'carried') return [one(ACTIONS[state], before, state)];
  return [one('authority.created', undefined, 'prepared'), one(ACTIONS[state], 'prepared', state)];
}

/** The moves with who asked for them: a taint is an operator's, everything else follows from the rules. */
export function audited(moves: readonly AuthorityMove[], tainting: ReadonlyMap<string, Actor>): AuditedMove[] {
  return moves.map((move) => ({ ...move, by: tainting.get(move.id) ?? SERVER }));
}
