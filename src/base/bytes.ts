/** Bytes that are kept as text: V8 has text in its heap, and a buffer outside of it. */

/** Bytes; in a string, which is Latin-1 then, a character is one. */
export type Bytes = Uint8Array | string;

export function putBytes(bytes: Bytes, target: Buffer, at: number): void {
  if (typeof bytes === 'string') target.write(bytes, at, 'latin1');
  else target.set(bytes, at);
}

/** The parts as one. `before`: so many bytes of whatever content come before them. */
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
