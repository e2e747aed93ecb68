/** The client's side of the push stream, as an agent of Sidekey or a hostile one speaks it. */

import type { TestContext } from 'node:test';
import { octetString, oid, sequence, set } from '../../src/ca/der.ts';
import { AgentMessage, type Report, ServerMessage } from '../../src/gen/sidekey/agent.ts';
import type { AgentClient } from '../support/agent-client.ts';

export const ATTACH = '/sidekey.agent.v1.Agents/Attach';
const NONE: AgentMessage = { greeting: undefined, report: undefined, answer: undefined };

type Kind = keyof ServerMessage;
type Of<K extends Kind> = NonNullable<ServerMessage[K]>;

/** Attaches, and greets unless `greeting` is false. Messages wait until the test asks for their kind. */
export function attach(t: TestContext, agent: AgentClient, { greeting = true, host = 'host-1', reads = true } = {}) {
  const stream = agent.stream(ATTACH, AgentMessage, ServerMessage);
  const waiting: ServerMessage[] = [];
  let tell: () => void = () => undefined;
  let end: { readonly error: unknown } | undefined;
  const reading = Promise.withResolvers<void>();
  if (reads) reading.resolve();
  const ended = (async () => {
    await reading.promise;
    try {
      for await (const message of stream.messages) {
        waiting.push(message);
        tell();
      }
      end = { error: undefined };
    } catch (error) {
      end = { error };
    }
    tell();
    return end.error;
  })();
  const send = (message: Partial<AgentMessage>) => stream.write({ ...NONE, ...message });
  if (greeting) send({ greeting: { version: '1.0.0', host } });
  t.after(() => stream.cancel());
  return {
    send,
    /** Resolves with the error by which the stream ended; undefined: none. */
    ended,
    report: (report: Partial<Report>) => send({ report: { ...emptyReport(), ...report } }),
    cancel: () => stream.cancel(),
    read: () => reading.resolve(),
    half: () => stream.end(),
    /** The next message of this kind; others that come before it are dropped. */
    next: async <K extends Kind>(kind: K): Promise<Of<K>> => {
      for (;;) {
        const message = waiting.shift();
        if (message !== undefined) {
          if (message[kind] !== undefined) return message[kind] as Of<K>;
          continue;
        }
        if (end !== undefined) throw new Error(`the stream ended before its ${kind}`, { cause: end.error });
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
      }
    },
  };
}

/** The attributes of a CSR that asks for this URI. */
export function asking(uri: string): Buffer {
  const bytes = Buffer.from(uri, 'latin1');
  const names = sequence(Buffer.concat([Buffer.of(0x86, bytes.length), bytes]));
  const extensions = sequence(sequence(oid('2.5.29.17'), octetString(names)));
  return sequence(oid('1.2.840.113549.1.9.14'), set(extensions));
}

export function emptyReport(): Report {
  return {
    ...{ bundle: 0n, acknowledged: 0n, lagging: [], allLagging: 0, authoritiesInUse: [], revocations: 0n },
    ...{ revokedInUse: [], refusing: 0, informed: 0, waiting: 0, unreachable: 0, connections: 0, streams: 0 },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the JSON of the admin API
export function json(bytes: Uint8Array): any {
  return JSON.parse(Buffer.from(bytes).toString('utf8'));
}
