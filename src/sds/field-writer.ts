/**
 * Writes protobuf messages whose fields all are strings, bytes or messages: each is a head, and then what is in it. The
 * parts are copied once, when they are put together; generated code would copy a certificate for each message around it.
 *
 * @see https://protobuf.dev/programming-guides/encoding/ "Length-Delimited Records"
 */

const LENGTH_DELIMITED = 2;

/** A message, or a part of one, in pieces. */
export type Parts = readonly Uint8Array[];

/** A field of a number below 16 around the parts. */
export function field(number: number, parts: Parts): Uint8Array[] {
  let length = 0;
  for (const part of parts) length += part.length;
  return [head(number, length), ...parts];
}

function head(number: number, length: number): Uint8Array {
  const bytes = [(number << 3) | LENGTH_DELIMITED];
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
