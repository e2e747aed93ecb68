/**
 * Reads server-sent events.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html section "Interpreting an event stream"
 */

export interface AdminEvent {
  readonly event: string;
  readonly data: unknown;
}

/**
 * Reads events from a text that arrives in pieces; lines must end as Sidekey ends them.
 * @throws SyntaxError if data is not JSON
 * @internal
 */
export async function* readEvents(texts: AsyncIterable<string>): AsyncGenerator<AdminEvent> {
  let rest = '';
  for await (const text of texts) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop()!;
    for (const block of blocks) {
      const event = readEvent(block);
      if (event !== undefined) yield event;
    }
  }
}

/** Undefined for a comment, such as a heartbeat. */
function readEvent(block: string): AdminEvent | undefined {
  const fields = new Map(
    block.split('\n').map((line) => {
      const [name, ...value] = line.split(': ');
      return [name, value.join(': ')];
    }),
  );
  const data = fields.get('data');
  return data === undefined ? undefined : { event: fields.get('event') ?? 'message', data: JSON.parse(data) };
}
