import type { Message } from '../../src/wire/types.ts';

/** What a message that is given to the wire is on it. */
export function bytesOf(message: Message): Buffer {
  return Buffer.concat([message].flat());
}
