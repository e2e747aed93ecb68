/** Changes to bytes that parsers trip over. */

import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Random } from './random.ts';

const INTERESTING = [0, 1, 2, 8, 10, 0x12, 0x1a, 0x22, 0x7f, 0x80, 0xfe, 0xff];
/** Varints at the edges: 2^31 - 1, 2^32 - 1, 2^64 - 1, one that never ends. */
const LENGTHS = ['ffffffff07', 'ffffffff0f', 'ffffffffffffffffff01', 'ffffffffffffffffffffff', '00', '8000'].map(
  (hex) => Buffer.from(hex, 'hex'),
);

/** One change or more, rarely many; the bytes given stay as they are. */
export function mutate(random: Random, bytes: Buffer, others: readonly Buffer[]): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  do changed = change(random, changed, others);
  while (random.chance(0.4));
  return changed;
}

/**
 * A protobuf message with its fields dropped, doubled, moved, renumbered, or changed within, and yet one: what it says
 * gets further than what is no message at all.
 */
export function mutateFields(random: Random, message: Buffer, others: readonly Buffer[], depth = 0): Buffer {
  const fields = fieldsOf(message);
  if (fields.length === 0) return mutate(random, message, others);
  do {
    const at = random.below(fields.length);
    const field = fields[at] ?? { number: 1, bytes: Buffer.alloc(0) };
    const kind = random.below(6);
    if (kind === 0) fields.splice(at, 1);
    else if (kind === 1) fields.splice(random.below(fields.length + 1), 0, field);
    else if (kind === 2) fields.splice(at, 1, fields[0] ?? field);
    else if (kind === 3) fields[at] = { ...field, number: 1 + random.below(12) };
    else if (kind === 4 || depth === 3) fields[at] = { ...field, bytes: mutate(random, field.bytes, others) };
    else fields[at] = { ...field, bytes: mutateFields(random, field.bytes, others, depth + 1) };
  } while (random.chance(0.4) && fields.length > 0);
  return Buffer.concat(fields.flatMap(({ number, bytes }) => [varint(number * 8 + 2), varint(bytes.length), bytes]));
}

interface Field {
  readonly number: number;
  readonly bytes: Buffer;
}

/** The length-delimited fields; none where there is anything else, or where the bytes are no message. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  try {
    const reader = new BinaryReader(message);
    while (reader.pos < reader.len) {
      const [number, wireType] = reader.tag();
      if (wireType !== 2) return [];
      fields.push({ number, bytes: Buffer.from(reader.bytes()) });
    }
  } catch {
    return [];
  }
  return fields;
}

function varint(value: number): Uint8Array {
  return new BinaryWriter().uint32(value).finish();
}

function change(random: Random, bytes: Buffer, others: readonly Buffer[]): Buffer {
  // Half of the time near the beginning, where what matters is.
  const at = random.below(Math.max(1, random.chance(0.5) ? Math.min(bytes.length, 96) : bytes.length));
  const length = random.below(Math.min(64, bytes.length - at + 1));
  switch (random.below(8)) {
    case 0:
      if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = random.pick(INTERESTING);
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 5:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(16)), bytes.subarray(at)]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at), random.pick(LENGTHS), bytes.subarray(at)]);
    default: {
      const other = random.pick(others);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1)).subarray(0, 4096)]);
    }
  }
}
