/**
 * Reads the SPIFFE ID that a certificate signing request asks for. Only for entries with templates it says anything: one
 * of the SPIFFE IDs that the template renders, of which only the asking agent knows which.
 *
 * @see RFC 2986 section 4 (PKCS#10), RFC 2985 section 5.4.2 (extensionRequest), RFC 5280 section 4.2.1.6
 */

import { CsrError, MAX_CSR_BYTES } from './csr.ts';
import { DerReader, TAG } from './der-reader.ts';
import { readExtensions } from './extensions.ts';

const EXTENSION_REQUEST = '2a864886f70d01090e';
const SUBJECT_ALT_NAME = '551d11';
/** Context tags: of the attributes, and of a URI among the names. */
const ATTRIBUTES = 0xa0;
const URI = 0x86;

/** The one URI among the names that the request asks for. The signature is not verified. @throws CsrError */
export function uriOfCsr(der: Uint8Array): string {
  if (der.length > MAX_CSR_BYTES) throw new CsrError(`it has ${der.length} bytes, at most ${MAX_CSR_BYTES} are read`);
  let uris: string[];
  try {
    uris = readUris(Buffer.from(der));
  } catch {
    throw new CsrError('it is not a PKCS#10 request in DER, or the names that it asks for cannot be read');
  }
  if (uris.length !== 1) throw new CsrError(`it asks for ${uris.length} URIs, and an entry with a template needs one`);
  return uris[0]!;
}

function readUris(der: Buffer): string[] {
  return new DerReader(der).inside(TAG.sequence, (csr) => {
    const uris = csr.inside(TAG.sequence, (info) => {
      info.contents(TAG.integer);
      info.contents(TAG.sequence);
      info.contents(TAG.sequence);
      return info.tag === undefined ? [] : info.inside(ATTRIBUTES, readAttributes);
    });
    csr.contents(TAG.sequence);
    csr.contents(TAG.bitString);
    return uris;
  });
}

function readAttributes(attributes: DerReader): string[] {
  const uris: string[] = [];
  while (attributes.tag !== undefined) {
    attributes.inside(TAG.sequence, (attribute) => {
      const isRequest = attribute.hex(TAG.oid) === EXTENSION_REQUEST;
      if (!isRequest) attribute.contents(TAG.set);
      else uris.push(...attribute.inside(TAG.set, (values) => values.inside(TAG.sequence, readNames)));
    });
  }
  return uris;
}

function readNames(extensions: DerReader): string[] {
  return readExtensions(extensions)
    .filter(({ id }) => id === SUBJECT_ALT_NAME)
    .flatMap(({ value }) => {
      return new DerReader(value).inside(TAG.sequence, (names) => {
        const uris: string[] = [];
        while (names.tag !== undefined) {
          if (names.tag === URI) uris.push(names.text(URI));
          else names.contents(names.tag);
        }
        return uris;
      });
    });
}
