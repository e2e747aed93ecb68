/**
 * What must hold for the authorities whatever happens to the server: an authority that is gone stays gone, states go
 * forward only (but if the active authority is tainted, a retired one may sign again), a tainted authority stays tainted and
 * signs nothing, and the bundle's sequence number never decreases.
 */

import type { AuthoritiesJson } from '../src/admin/ca-schema.ts';

type Listed = Pick<AuthoritiesJson['authorities'][0], 'id' | 'role' | 'state'>;

/** In the order of an authority's life. A tainted one can only go. */
const ORDER = ['prepared', 'published', 'active', 'retired', 'tainted'];

export class AuthorityWatch {
  /** Of the list before, by ID. */
  readonly #states = new Map<string, Listed['state']>();
  readonly #gone = new Set<string>();
  /** When each was first seen tainted, milliseconds since the epoch. */
  readonly #tainted = new Map<string, number>();
  #sequence = 0;
  #roots = '';

  /** The number of authorities that it has seen, and that went, and that were tainted. */
  get seen(): { readonly authorities: number; readonly gone: number; readonly tainted: number } {
    return { authorities: this.#states.size + this.#gone.size, gone: this.#gone.size, tainted: this.#tainted.size };
  }

  isGone(id: string): boolean {
    return this.#gone.has(id);
  }

  /** Compares a list with those before. @param now milliseconds since the epoch @returns what is wrong */
  list(authorities: readonly Listed[], now: number): string[] {
    const faults: string[] = [];
    const wasTainted = [...this.#states].some(([id, before]) => {
      const state = authorities.find((one) => one.id === id)?.state ?? 'tainted';
      return before === 'active' && state === 'tainted';
    });
    for (const { id, role, state } of authorities) {
      const before = this.#states.get(id);
      const isBack = before !== undefined && ORDER.indexOf(state) < ORDER.indexOf(before);
      const isReplacement = before === 'retired' && state === 'active' && wasTainted;
      if (this.#gone.has(id)) faults.push(`the ${role} ${id} was gone and is ${state}`);
      else if (isBack && !isReplacement) faults.push(`the ${role} ${id} was ${before} and is ${state}`);
      if (state === 'tainted' && !this.#tainted.has(id)) this.#tainted.set(id, now);
    }
    for (const role of ['root', 'intermediate']) {
      const active = authorities.filter((one) => one.role === role && one.state === 'active');
      if (active.length > 1) faults.push(`${active.length} ${role}s are active`);
    }
    const listed = new Set(authorities.map(({ id }) => id));
    for (const id of this.#states.keys()) if (!listed.has(id)) this.#gone.add(id);
    this.#states.clear();
    for (const { id, state } of authorities) this.#states.set(id, state);
    return faults;
  }

  /** Compares a bundle with the one before. @returns what is wrong */
  bundle(sequence: number, roots: readonly string[]): string[] {
    const text = [...roots].sort().join();
    const [before, rootsBefore] = [this.#sequence, this.#roots];
    this.#sequence = sequence;
    this.#roots = text;
    if (sequence < before) return [`the bundle's sequence number was ${before} and is ${sequence}`];
    if (sequence === before && text !== rootsBefore) return [`the bundle ${sequence} has other roots than before`];
    return [];
  }

  /** Compares issuances with the taints. @param issuedAt milliseconds since the epoch @returns what is wrong */
  issuances(rows: readonly { readonly serial: string; readonly authorityId: string; readonly issuedAt: number }[]) {
    return rows.flatMap(({ serial, authorityId, issuedAt }) => {
      const since = this.#tainted.get(authorityId);
      if (since === undefined || issuedAt <= since) return [];
      return [`${authorityId} signed ${serial} ${issuedAt - since} ms after it was tainted`];
    });
  }
}
