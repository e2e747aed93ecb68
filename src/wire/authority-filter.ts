/**
 * Replaces bytes that are not valid in an `:authority` by `-`, in the bytes that a client sends. Lengths stay as they are, so
 * the client's and the server's HPACK tables stay equal. Huffman-coded values are left alone: grpc-java sends none.
 *
 * @see RFC 9113 sections 4.1 and 6.2; RFC 7541 sections 5 and 6
 */

const HEAD_BYTES = 9;
const HEADERS = 1;
const PADDED = 0x8;
const PRIORITY = 0x20;
/** The default of SETTINGS_MAX_FRAME_SIZE, which the server does not raise: larger frames are errors. */
const MAX_FRAME_BYTES = 16_384;
/** The index of `:authority` in HPACK's static table. */
const AUTHORITY = 1;
/** Characters of a host and a port. @see RFC 3986 section 3.2 */
const VALID = new Set(
  Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:@[]"),
);
const REPLACEMENT = '-'.charCodeAt(0);

export class AuthorityFilter {
  /** Bytes that are passed on as they are: the preface, or the rest of a frame. */
  #untouched: number;
  /** The beginning of a frame that has not arrived completely. */
  #kept: Buffer = Buffer.alloc(0);

  /** @param untouched the number of bytes before the first frame */
  constructor(untouched: number) {
    this.#untouched = untouched;
  }

  /** Takes the next bytes of the client; returns those that can be passed on. The chunk itself may be changed. */
  take(chunk: Buffer): Buffer {
    const bytes = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    let at = 0;
    for (;;) {
      const passed = Math.min(this.#untouched, bytes.length - at);
      this.#untouched -= passed;
      at += passed;
      if (bytes.length - at < HEAD_BYTES) break;
      const length = bytes.readUIntBE(at, 3);
      const end = at + HEAD_BYTES + length;
      if (bytes[at + 3] !== HEADERS || length > MAX_FRAME_BYTES) {
        this.#untouched = HEAD_BYTES + length;
        continue;
      }
      if (bytes.length < end) break;
      mendBlock(bytes.subarray(at + HEAD_BYTES, end), bytes[at + 4]!);
      at = end;
    }
    this.#kept = bytes.subarray(at);
    return bytes.subarray(0, at);
  }
}

/** The payload of a HEADERS frame. A malformed one stays as it is: HTTP/2 refuses it. */
function mendBlock(payload: Buffer, flags: number): void {
  const isPadded = (flags & PADDED) !== 0;
  const begin = (isPadded ? 1 : 0) + ((flags & PRIORITY) !== 0 ? 5 : 0);
  const end = payload.length - (isPadded ? (payload[0] ?? 0) : 0);
  if (end > begin) mendFields(new HpackReader(payload.subarray(begin, end)));
}

function mendFields(reader: HpackReader): void {
  while (!reader.isDone) {
    const first = reader.peek();
    if ((first & 0x80) !== 0) {
      reader.integer(7);
      continue;
    }
    if ((first & 0xe0) === 0x20) {
      reader.integer(5);
      continue;
    }
    const name = reader.integer((first & 0x40) !== 0 ? 6 : 4);
    if (name === 0) reader.string();
    const { value, isHuffman } = reader.string();
    if (name === AUTHORITY && !isHuffman) mend(value);
  }
}

function mend(value: Buffer): void {
  for (const [at, byte] of value.entries()) if (!VALID.has(byte)) value[at] = REPLACEMENT;
}

/** Reads past the end as if nothing were there, which ends the walk. */
class HpackReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  peek(): number {
    return this.#bytes[this.#at] ?? 0;
  }

  /** @param bits the number of bits of the first byte that belong to the integer */
  integer(bits: number): number {
    const most = 2 ** bits - 1;
    let value = this.peek() & most;
    this.#at += 1;
    if (value < most) return value;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.peek();
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) break;
    }
    return value;
  }

  string(): { readonly value: Buffer; readonly isHuffman: boolean } {
    const isHuffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    const value = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { value, isHuffman };
  }
}
