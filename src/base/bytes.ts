/** Bytes that are kept as strings: V8 keeps strings in its heap, and buffers outside of it. */

/** Bytes; a string is Latin-1, one character for each byte. */
export type Bytes = Uint8Array | string;

export function putBytes(bytes: Bytes, target: Buffer, at: number): void {
  if (typeof bytes === 'string') target.write(bytes, at, 'latin1');
  else target.set(bytes, at);
}

/** Concatenates the parts. `before`: the number of arbitrary bytes to reserve before them. */
export function joinBytes(parts: readonly Bytes[], before = 0): Buffer {
  let length = before;
  for (const part of parts) length += part.length;
  const joined = Buffer.allocUnsafe(length);
  let at = before;
  for (const part of parts) {
    putBytes(part, joined, at);
    at += part.length;
  }
  return joined;
}
