/** PEM blocks (RFC 7468). */

export type PemLabel = 'CERTIFICATE' | 'PRIVATE KEY' | 'ENCRYPTED PRIVATE KEY' | 'CERTIFICATE REQUEST';

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const PADDING = 0x3d;
const LINE_END = 0x0a;
/** Bytes per line, which become 64 characters. */
const LINE = 48;

/** Encodes one block with a final newline. Writes into a buffer, since joining strings is slower. */
export function pem(label: PemLabel, der: Buffer): string {
  const head = `-----BEGIN ${label}-----\n`;
  const tail = `-----END ${label}-----\n`;
  const lines = Math.ceil(der.length / LINE);
  const block = Buffer.allocUnsafe(head.length + Math.ceil(der.length / 3) * 4 + lines + tail.length);
  block.write(head, 'latin1');
  let at = head.length;
  for (let from = 0; from < der.length; from += LINE) {
    at = writeBase64(block, at, der, from, Math.min(from + LINE, der.length));
    block[at] = LINE_END;
    at += 1;
  }
  block.write(tail, at, 'latin1');
  return block.toString('latin1');
}

/** Writes base64 at `at`; returns the position after it. */
function writeBase64(text: Buffer, at: number, bytes: Buffer, from: number, to: number): number {
  let end = at;
  for (let i = from; i < to; i += 3) {
    const three = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text[end] = ALPHABET[three >>> 18]!;
    text[end + 1] = ALPHABET[(three >>> 12) & 63]!;
    text[end + 2] = i + 1 < to ? ALPHABET[(three >>> 6) & 63]! : PADDING;
    text[end + 3] = i + 2 < to ? ALPHABET[three & 63]! : PADDING;
    end += 4;
  }
  return end;
}

/** The bytes of one block. */
export function pemBytes(block: string): Buffer {
  return Buffer.from(block.replaceAll(/-----[^-]+-----/g, ''), 'base64');
}

/** All blocks with this label, including their BEGIN and END lines. */
export function pemBlocks(text: string, label: PemLabel): string[] {
  return text.match(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n?`, 'g')) ?? [];
}
