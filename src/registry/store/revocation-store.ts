/** Stores revocations by serial number. They are kept until their certificates have ended. */

import type { AuditEvent, EventBody } from '../../audit/index.ts';
import type { Revocation } from '../../base/index.ts';

export interface RevocationStore {
  /** Every revocation, in no particular order. @throws ERR_STORE */
  load(): Promise<Revocation[]>;
  /**
   * Durable when the promise resolves. One transaction: if it throws, nothing has changed. A serial number that another
   * server has revoked in the meantime keeps that revocation, except that a final one replaces a hold.
   * @param events rows for the audit, added in the same transaction
   * @throws ERR_STORE
   */
  add(revocations: readonly Revocation[], events?: readonly (AuditEvent | EventBody)[]): Promise<void>;
  /**
   * Durable when the promise resolves. One transaction.
   * @param revocations as they were loaded or added
   * @param events rows for the audit, added in the same transaction
   * @throws ERR_NOT_FOUND if there is no revocation of a serial number; ERR_REVISION if it was revoked anew, by another
   * server; ERR_STORE. Then nothing has changed
   */
  remove(revocations: readonly Revocation[], events?: readonly (AuditEvent | EventBody)[]): Promise<void>;
  /**
   * Removes the revocations of certificates that ended before `before` (milliseconds since the epoch). One transaction.
   * @returns their serial numbers @throws ERR_STORE
   */
  removeEnded(before: number): Promise<string[]>;
}
