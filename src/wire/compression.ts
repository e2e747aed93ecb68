/** Messages that a client compresses. Sidekey's own never are: Envoy refuses them. */

import zlib from 'node:zlib';
import { MAX_MESSAGE_BYTES } from './message-reader.ts';
import { Status, StatusError } from './types.ts';

/** What `grpc-encoding` may say, as `grpc-accept-encoding` lists it. */
export const ENCODINGS = 'identity,deflate,gzip';

const DECOMPRESSORS = new Map<string, (bytes: Buffer, options: zlib.ZlibOptions) => Buffer>([
  ['gzip', zlib.gunzipSync],
  ['deflate', zlib.inflateSync],
]);

/** True of an encoding that compressed messages can be read in. */
export function isKnownEncoding(encoding: string): boolean {
  return encoding === 'identity' || DECOMPRESSORS.has(encoding);
}

/**
 * The message that a flag says is compressed. At once rather than on another thread: it has 1 MiB at most, before and
 * after, and nobody's Envoy sends it.
 * @throws StatusError
 */
export function decompress(message: Buffer, encoding: string): Buffer {
  const decompressor = DECOMPRESSORS.get(encoding);
  if (decompressor === undefined) {
    throw new StatusError(Status.INTERNAL, 'a message is flagged as compressed, and no grpc-encoding says how');
  }
  try {
    return decompressor(message, { maxOutputLength: MAX_MESSAGE_BYTES });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      const problem = `a message is larger than ${MAX_MESSAGE_BYTES} bytes, the limit, once it is decompressed`;
      throw new StatusError(Status.RESOURCE_EXHAUSTED, problem, { cause });
    }
    throw new StatusError(Status.INTERNAL, `a message is no valid ${encoding}`, { cause });
  }
}
