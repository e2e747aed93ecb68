/** Reads server-sent events from the bytes of an answer (HTML Living Standard, section 9.2.6), without reconnecting. */

export interface ServerEvent {
  /** `message` if the server names none. */
  readonly event: string;
  readonly data: string;
  /** The last id that the server gave; empty before the first. */
  readonly id: string;
}

/** Longest line and event that are read, in UTF-16 units: the server sends less. */
const LIMIT = 16 * 1024 * 1024;

/**
 * Yields the events; comments, which the server sends so that silence means a broken connection, only call `heard`.
 * @throws Error when the connection breaks, or an event is longer than LIMIT
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  heard: () => void,
): AsyncGenerator<ServerEvent, void, void> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = '';
  let event = '';
  let id = '';
  let data: string[] = [];
  let length = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + value).split(/\r\n|\n/);
      rest = lines.pop()!;
      if (rest.length > LIMIT) throw new Error('a line of the event stream is too long');
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) yield { event: event || 'message', data: data.join('\n'), id };
          [event, data, length] = ['', [], 0];
          continue;
        }
        const colon = line.indexOf(':');
        const field = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (field === 'event') event = text;
        else if (field === 'id') id = text;
        else if (field === 'data') {
          length += text.length;
          if (length > LIMIT) throw new Error('an event is too long');
          data.push(text);
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
