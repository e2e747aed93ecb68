/** Serial numbers of certificates, in the forms in which people have them. */

import { SidekeyError } from '../base/index.ts';

/** RFC 5280 section 4.1.2.2: at most 20 octets. */
const MAX_DIGITS = 40;

export const SERIAL_RULE =
  'a serial number is in hex, such as 4bf92f35…, 4B:F9:2F:35:… or 0x4bf92f35…, with at most 20 bytes after leading zeros; one of decimal digits alone needs 0x, because it could be decimal';

/**
 * Reads a serial number: hex in any case, with or without colons and `0x`, and as `openssl x509 -serial` prints it.
 * @param path the place, for the error
 * @returns lower-case hex of whole bytes without leading zero bytes, as issuances have it @throws ERR_BAD_INPUT
 */
export function readSerial(given: unknown, path: string): string {
  const fault = (problem: string) => SidekeyError.badInput([{ path, problem, rule: SERIAL_RULE }]);
  if (typeof given !== 'string') throw fault('it is not a string');
  const shown = JSON.stringify(given.slice(0, 100));
  const match = /^(?:serial=)?(0x)?((?:[0-9a-f]{1,2}:)+[0-9a-f]{1,2}|[0-9a-f]+)$/i.exec(given);
  if (match === null) throw fault(`it is ${shown}`);
  const [, prefix, text] = match as unknown as [string, string | undefined, string];
  if (prefix === undefined && /^\d+$/.test(text)) throw fault(`it is ${shown}, which may be decimal`);
  const bytes = text.split(':');
  const hex = bytes.length === 1 ? text : bytes.map((byte) => byte.padStart(2, '0')).join('');
  const digits = hex.toLowerCase().replace(/^0+/, '');
  if (digits === '' || digits.length > MAX_DIGITS) throw fault(`it is ${shown}`);
  return digits.padStart(digits.length + (digits.length % 2), '0');
}
