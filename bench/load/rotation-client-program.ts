/** Streams that each have an SVID and the bundle, and follow a rotation, in a process of their own. */

import { Connection } from './grpc-client.ts';
import { obey, sharedNow } from './program.ts';
import { answerTo, requestFor } from './requests.ts';

export interface OpenOptions {
  readonly socket: string;
  /** The SPIFFE ID that each stream asks for beside the bundle. Each stream has a connection of its own. */
  readonly names: readonly string[];
  readonly bundle: string;
}

/** When all streams had acknowledged an SVID under another intermediate than before, by {@link sharedNow}. */
export interface Followed {
  /** The last stream's message had come. */
  readonly receivedAt: number;
  /** The server had read the last stream's ACK. */
  readonly ackedAt: number;
  /** PEM. */
  readonly intermediate: string;
}

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
const KEY = ' PRIVATE KEY-----';
const LATE_MS = 60_000;

const connections: Connection[] = [];
/** Each stream's intermediate, PEM; an empty text before the first SVID. */
const intermediates: string[] = [];
let lastAt = 0;
let changed: (() => void) | undefined;

obey({ open, follow });

/** Opens the streams and waits until each has an SVID and the server has read its ACK; returns the intermediate, PEM. */
async function open({ socket, names, bundle }: OpenOptions): Promise<string> {
  for (const [i, name] of names.entries()) {
    const connection = new Connection(socket);
    const first = requestFor([name, bundle], 'real');
    // As an Envoy with set_node_on_first_message_only.
    const later = requestFor([name, bundle], 'none');
    intermediates[i] = '';
    connections.push(connection);
    const call = connection.stream((bytes) => {
      call.send(answerTo(bytes, later));
      const intermediate = intermediateIn(bytes);
      if (intermediate === undefined) return;
      intermediates[i] = intermediate;
      lastAt = sharedNow();
      changed?.();
    });
    call.send([first]);
  }
  return (await follow({ before: '' })).intermediate;
}

/** Waits until all streams have acknowledged an SVID of one other intermediate than this one. */
async function follow({ before }: { before: string }): Promise<Followed> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const behind = intermediates.filter((one) => one === before).length;
    late.reject(new Error(`${behind} of ${intermediates.length} streams have not followed after ${LATE_MS} ms`));
  }, LATE_MS);
  await Promise.race([allOtherThan(before), late.promise]);
  clearTimeout(timer);
  const receivedAt = lastAt;
  await Promise.all(connections.map((connection) => connection.settled()));
  return { receivedAt, ackedAt: sharedNow(), intermediate: intermediates[0]! };
}

function allOtherThan(before: string): Promise<void> {
  return new Promise((resolve) => {
    changed = () => {
      const [first] = intermediates;
      if (first === before || intermediates.some((one) => one !== first)) return;
      changed = undefined;
      resolve();
    };
    changed();
  });
}

/** The second certificate of the chain, which stands before the private key; undefined in a response without an SVID. */
function intermediateIn(response: Buffer): string | undefined {
  const key = response.indexOf(KEY);
  if (key === -1) return undefined;
  const begin = response.lastIndexOf(BEGIN, key);
  return response.toString('latin1', begin, response.indexOf(END, begin) + END.length);
}
