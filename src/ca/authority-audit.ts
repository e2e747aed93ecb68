/**
 * Records changes of the authorities in the audit. Their states are in a file, not in the audit's database, so no
 * transaction covers both: the file is written first and contains what has changed; then the row is added. If a crash
 * comes between, the next start adds the row before anything is signed.
 */

import { type Actor, type AuditAction, type AuditEvent, SERVER } from '../audit/index.ts';
import type { AuditedMove, AuthorityState } from './key-store.ts';
import type { AuthorityMove } from './types.ts';

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
  gone: 'authority.removed',
};

export class AuthorityAuditor {
  readonly #audit: AuthorityAudit;
  /** The moves that are in the file but not in the audit yet. */
  #pending: readonly AuditedMove[];
  #revision: number;

  private constructor(audit: AuthorityAudit, { moves, revision }: AuthorityState) {
    this.#audit = audit;
    this.#pending = moves;
    this.#revision = revision;
  }

  /** Records what the former process could not. @throws ERR_STORE */
  static async open(audit: AuthorityAudit, state: AuthorityState): Promise<AuthorityAuditor> {
    const auditor = new AuthorityAuditor(audit, state);
    const recorded = await audit.authorityRevision();
    if (recorded >= state.revision) auditor.#pending = [];
    // An older copy of the states may have been restored; revisions must not repeat.
    auditor.#revision = Math.max(recorded, state.revision);
    await auditor.flush();
    return auditor;
  }

  /** The revision of the next states. */
  get nextRevision(): number {
    return this.#revision + 1;
  }

  /** Moves of a change that could not be recorded so far, which the next states must contain. */
  get pending(): readonly AuditedMove[] {
    return this.#pending;
  }

  /** Call it when the states are on disk. */
  stored({ moves, revision }: AuthorityState): void {
    this.#pending = moves;
    this.#revision = revision;
  }

  /** Adds the rows of the stored states. @throws ERR_STORE; a later call repeats it */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const events = this.#pending.flatMap(eventsOf);
    await this.#audit.append(events, { authorityRevision: this.#revision });
    this.#pending = [];
  }

  /** Records a request before it is carried out. @throws ERR_STORE */
  asked(
    at: number,
    action: 'authority.rotate_asked' | 'authority.import_asked',
    by: Actor,
    detail: object,
  ): Promise<void> {
    return this.#audit.append([{ at, action, by, detail }]);
  }
}

/** Two for a new authority that came into use at once. */
function eventsOf({ at, id, role, state, before, by }: AuditedMove): AuditEvent[] {
  const one = (action: AuditAction, from: string | undefined, to: string): AuditEvent => {
    const shown = (name: string) => ({ role, state: name });
    return { at, action, by, target: id, before: from === undefined ? undefined : shown(from), after: shown(to) };
  };
  if (before !== undefined || state === 'prepared') return [one(ACTIONS[state], before, state)];
  return [one('authority.created', undefined, 'prepared'), one(ACTIONS[state], 'prepared', state)];
}

/** The moves with who asked for them: a taint is an operator's, everything else follows from the rules. */
export function audited(moves: readonly AuthorityMove[], tainting: ReadonlyMap<string, Actor>): AuditedMove[] {
  return moves.map((move) => ({ ...move, by: tainting.get(move.id) ?? SERVER }));
}
