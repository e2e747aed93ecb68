/** Decodes requests. */

import { Status, StatusError } from './types.ts';

/** @throws StatusError INVALID_ARGUMENT if the bytes are not a message of this type */
export function decodeRequest<T>(type: { decode(bytes: Uint8Array): T }, name: string, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new StatusError(Status.INVALID_ARGUMENT, `the request is not a valid ${name}`, { cause });
  }
}
