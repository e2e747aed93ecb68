/** Decodes the requests of the standard services. */

import { Status, StatusError } from '../wire/index.ts';

/** @throws StatusError INVALID_ARGUMENT if the bytes are not a message of this type */
export function decode<T>(type: { decode(bytes: Uint8Array): T }, name: string, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new StatusError(Status.INVALID_ARGUMENT, `the request is not a valid ${name}`, { cause });
  }
}

/** Maximum length of client text that is repeated in an error message, in characters. */
const MOST_QUOTED = 200;

/** The client's text, shortened and quoted for an error message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}…` : text);
}
