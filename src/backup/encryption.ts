/** Encryption of backups in the age format, by the library of its author. @see https://age-encryption.org/v1 */

/** Who can decrypt a backup: recipients (`age1…`), or whoever has the passphrase. */
export type EncryptFor = { readonly recipients: readonly string[] } | { readonly passphrase: string };

/** Identities (`AGE-SECRET-KEY-1…`), or a passphrase. */
export type DecryptWith = { readonly identities: readonly string[] } | { readonly passphrase: string };

type Bytes = AsyncIterable<Uint8Array>;

/** The beginning of each file in the age format. */
export const AGE_INTRO = Buffer.from('age-encryption.org/');

/** @throws Error for an invalid recipient, or that of the source */
export async function encrypt(source: Bytes, how: EncryptFor): Promise<Bytes> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  if ('passphrase' in how) encrypter.setPassphrase(how.passphrase);
  else for (const recipient of how.recipients) encrypter.addRecipient(recipient);
  return encrypter.encrypt(streamOf(source));
}

/** The largest header that is read, in bytes: of hundreds of recipients. The library itself has no limit. */
const MAX_HEADER = 256 * 1024;
/** The last line of a header. */
const HEADER_END = /\n--- [^\n]*\n/;

/** @throws Error if none of the identities fits, or the header is damaged; the result throws at damage */
export async function decrypt(source: Bytes, how: DecryptWith): Promise<Bytes> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  if ('passphrase' in how) decrypter.addPassphrase(how.passphrase);
  else for (const identity of how.identities) decrypter.addIdentity(identity);
  return decrypter.decrypt(streamOf(withHeader(source)));
}

/** The same bytes; a header without an end is not read further. */
async function* withHeader(source: Bytes): AsyncGenerator<Uint8Array> {
  let head = Buffer.alloc(0);
  let hasEnded = false;
  for await (const piece of source) {
    if (hasEnded) yield piece;
    else {
      head = Buffer.concat([head, piece]);
      hasEnded = HEADER_END.test(head.toString('latin1', 0, MAX_HEADER));
      if (hasEnded) yield head;
      else if (head.length >= MAX_HEADER) throw new Error('its header does not end');
    }
  }
  if (!hasEnded) throw new Error('its header is not complete');
}

/** Whether age can encrypt to this text. */
export async function isRecipient(text: string): Promise<boolean> {
  const { Encrypter } = await import('age-encryption');
  return succeeds(() => new Encrypter().addRecipient(text));
}

/** Whether age can decrypt with this text. */
export async function isIdentity(text: string): Promise<boolean> {
  const { Decrypter } = await import('age-encryption');
  return succeeds(() => new Decrypter().addIdentity(text));
}

function succeeds(attempt: () => void): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

/** `ReadableStream.from` would pass pieces of any size; the library copies each, so small ones are joined. */
function streamOf(source: Bytes): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(joined(source)) as ReadableStream<Uint8Array<ArrayBuffer>>;
}

const PIECE = 64 * 1024;

async function* joined(source: Bytes): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const piece of source) {
    waiting.push(piece);
    size += piece.length;
    if (size < PIECE) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(waiting);
}
