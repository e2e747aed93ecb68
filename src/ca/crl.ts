/**
 * Writes certificate revocation lists of version 2.
 *
 * @see RFC 5280 section 5
 */

import { REVOCATION_REASONS, type Revocation } from '../base/index.ts';
import { authorityKeyId, extension } from './certificate.ts';
import { bitString, explicit, integer, oid, sequence, timeElement, tlv } from './der.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';
import type { Signer } from './signer.ts';

export interface CrlContents {
  /** Of {@link encodeRevoked}. */
  readonly revoked: readonly Buffer[];
  /** Greater than that of earlier lists of this authority. */
  readonly number: number;
  /** Milliseconds since the epoch, on whole seconds. Verifiers refuse every certificate before the first and after the second. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

const VERSION_2 = integer(Uint8Array.of(1));
const CRL_NUMBER = oid('2.5.29.20');
const REASON_CODE = oid('2.5.29.21');

/** One entry of a list, DER. The reason `unspecified` is not written (RFC 5280 section 5.3.1). */
export function encodeRevoked({
  serial,
  revokedAt,
  reason,
}: Pick<Revocation, 'serial' | 'revokedAt' | 'reason'>): Buffer {
  const code = REVOCATION_REASONS[reason];
  const parts = [integer(Buffer.from(serial, 'hex')), timeElement(revokedAt)];
  if (code !== 0) parts.push(sequence(extension(REASON_CODE, tlv(0x0a, Uint8Array.of(code)))));
  return sequence(...parts);
}

/** The list of this authority, DER. */
export async function writeCrl(
  signer: Pick<Signer, 'id' | 'name' | 'keyType' | 'sign'>,
  { revoked, number, thisUpdate, nextUpdate }: CrlContents,
): Promise<Buffer> {
  const algorithm = signatureAlgorithm(signer.keyType).identifier;
  const dates = [timeElement(thisUpdate), timeElement(nextUpdate)];
  const numberBytes = Buffer.alloc(8);
  numberBytes.writeBigUInt64BE(BigInt(number));
  const extensions = [authorityKeyId(Buffer.from(signer.id, 'hex')), extension(CRL_NUMBER, integer(numberBytes))];
  const toBeSigned = sequence(
    VERSION_2,
    algorithm,
    signer.name,
    ...dates,
    // An empty list of entries must be absent.
    ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
    explicit(0, sequence(...extensions)),
  );
  return sequence(toBeSigned, algorithm, bitString(await signer.sign(toBeSigned)));
}
