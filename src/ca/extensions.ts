/**
 * Reads the extensions of any certificate, which Node does not show.
 *
 * @see RFC 5280 section 4.2
 */

import type { X509Certificate } from 'node:crypto';
import { DerReader, TAG } from './der-reader.ts';

const AUTHORITY_KEY_ID = '551d23';
/** Context tags. */
const EXTENSIONS = 0xa3;
const KEY_ID = 0x80;

/** The key identifier of the authority that signed a certificate, lower-case hex; empty: it does not say. */
export function authorityKeyIdOf({ raw }: X509Certificate): string {
  const value = extensionsOf(raw).find(({ id }) => id === AUTHORITY_KEY_ID)?.value;
  return value === undefined ? '' : new DerReader(value).inside(TAG.sequence, (ids) => ids.hex(KEY_ID));
}

export interface Extension {
  /** Hex of the object identifier's contents. */
  readonly id: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

/** The extensions of a certificate, DER. @throws Error if it is malformed */
export function extensionsOf(der: Buffer): Extension[] {
  return new DerReader(der).inside(TAG.sequence, (certificate) => {
    const found = certificate.inside(TAG.sequence, (body) => {
      let extensions: Extension[] = [];
      while (body.tag !== undefined) {
        if (body.tag !== EXTENSIONS) body.contents(body.tag);
        else extensions = body.inside(EXTENSIONS, (tagged) => tagged.inside(TAG.sequence, readExtensions));
      }
      return extensions;
    });
    certificate.contents(TAG.sequence);
    certificate.contents(TAG.bitString);
    return found;
  });
}

export function readExtensions(list: DerReader): Extension[] {
  const extensions: Extension[] = [];
  while (list.tag !== undefined) {
    extensions.push(
      list.inside(TAG.sequence, (extension) => {
        const id = extension.hex(TAG.oid);
        const critical = extension.tag === TAG.boolean && extension.contents(TAG.boolean)[0] !== 0;
        return { id, critical, value: extension.contents(TAG.octetString) };
      }),
    );
  }
  return extensions;
}
