/**
 * A revoker without an authority: it records revocations in a real registry and publishes no lists. For tests of the
 * admin API and the command line; those of the lists run against a whole server.
 */

import { type Clock, SidekeyError } from '../../src/base/index.ts';
import type { RevocationListInfo } from '../../src/ca/index.ts';
import type { Registry, Store } from '../../src/registry/index.ts';
import type {
  RevocationOutcome,
  RevocationProxy,
  RevocationTarget,
  RevokeOptions,
  Revoker,
} from '../../src/revocation/types.ts';

export interface RegistryRevokerParts {
  readonly registry: Pick<Registry, 'revocations'>;
  readonly issuances: Pick<Store['issuances'], 'unexpired'>;
  readonly clock: Clock;
}

export class RegistryRevoker implements Revoker {
  readonly #parts: RegistryRevokerParts;
  /** What it was asked for, in order. */
  readonly asked: { readonly target: RevocationTarget; readonly options: RevokeOptions }[] = [];
  /** Set by tests. */
  readonly state: { proxies: RevocationProxy[]; lists: RevocationListInfo[]; problem: string | undefined } = {
    proxies: [],
    lists: [],
    problem: undefined,
  };
  /** Called after each revocation is recorded. */
  onRevoked: () => Promise<void> = async () => undefined;

  constructor(parts: RegistryRevokerParts) {
    this.#parts = parts;
  }

  whyNot(): string | undefined {
    return this.state.problem;
  }

  async revoke(target: RevocationTarget, options: RevokeOptions): Promise<RevocationOutcome> {
    this.asked.push({ target, options });
    const { problem } = this.state;
    if (problem !== undefined) throw new SidekeyError('ERR_REVOCATION', problem);
    const { registry, issuances, clock } = this.#parts;
    const now = clock.now();
    const found = await issuances.unexpired(target, now, 10_001);
    if (found.length === 0) throw new SidekeyError('ERR_NOT_FOUND', 'no unexpired certificate of it is on record');
    const { reason, by } = options;
    const all = found.map(({ serial, authorityId, spiffeId, entryId, notAfter }) => {
      return { serial, authorityId, spiffeId, entryId, notAfter, revokedAt: now, reason };
    });
    const changed = await registry.revocations.add(all, by);
    await this.onRevoked();
    return this.#outcome(changed, all.length - changed.length);
  }

  async restore(serial: string, { by }: Pick<RevokeOptions, 'by' | 'waitMs'>): Promise<RevocationOutcome> {
    return this.#outcome([await this.#parts.registry.revocations.remove(serial, by)], 0);
  }

  list() {
    return this.#parts.registry.revocations.list();
  }

  lists() {
    return this.state.lists;
  }

  proxies() {
    return this.state.proxies;
  }

  #outcome(changed: RevocationOutcome['changed'], already: number): RevocationOutcome {
    const publishedAt = this.#parts.clock.now();
    return { changed, already, replaced: { asked: 0, acknowledged: 0 }, publishedAt, proxies: this.proxies() };
  }
}
