/** Deletes an entry and revokes its unexpired certificates. */

import type { Actor } from '../audit/index.ts';
import { type RevocationReason, SidekeyError } from '../base/index.ts';
import type { Registry } from '../registry/index.ts';
import type { RevocationOutcome, Revoker } from '../revocation/index.ts';

export interface EntryRevocation {
  readonly id: string;
  readonly ifRevision: number | undefined;
  readonly reason: RevocationReason;
  readonly waitMs: number;
  readonly by: Actor;
}

/**
 * Revokes before the deletion: if the server ends in between, the entry still stands, and the command can be repeated.
 * Revokes once more after it: certificates may have been issued in the meantime. The lists are published at once, since
 * the holders get no new certificates.
 * @returns undefined if no unexpired certificate is on record
 * @throws ERR_NOT_FOUND, ERR_REVISION, ERR_REVOCATION, ERR_CA, ERR_STORE
 */
export async function deleteAndRevoke(
  registry: Pick<Registry, 'require' | 'delete'>,
  revoker: Revoker,
  { id, ifRevision, reason, waitMs, by }: EntryRevocation,
): Promise<RevocationOutcome | undefined> {
  registry.require(id, ifRevision);
  const revoke = (wait: number) =>
    revoker.revoke({ entryId: id }, { reason, by, immediately: true, waitMs: wait }).catch(nothingIssued);
  const before = await revoke(0);
  await registry.delete(id, ifRevision, by);
  const after = await revoke(waitMs);
  if (after === undefined || before === undefined) return after ?? before;
  return { ...after, changed: [...before.changed, ...after.changed], already: before.already };
}

/** Undefined where no unexpired certificate is on record; any other error is thrown. */
function nothingIssued(thrown: unknown): undefined {
  if (thrown instanceof SidekeyError && thrown.code === 'ERR_NOT_FOUND') return undefined;
  throw thrown;
}
