/** Rounds in which all streams of a client get one message more. */

import type { Program } from './program.ts';
import type { InnerServer } from './server.ts';

/** Of each round, in milliseconds. */
export interface Rounds {
  /** How long it takes until the last stream has its message. */
  readonly times: number[];
  /** The longest pause of the server's event loop until then. */
  readonly pauses: number[];
  /** And until the server has read all ACKs. */
  readonly pausesWithAcks: number[];
}

/**
 * A round begins when the server has read the ACKs of the one before. To call while all streams have one message.
 * @param begin begins a round, and says when
 */
export async function timeRounds(
  server: InnerServer,
  client: Program,
  count: number,
  begin: () => Promise<number>,
): Promise<Rounds> {
  const times: number[] = [];
  const pauses: number[] = [];
  const pausesWithAcks: number[] = [];
  await client.tell('settled');
  for (let round = 1; round <= count; round += 1) {
    await server.program.tell('watchPauses');
    const begun = await begin();
    times.push((await client.tell<number>('received', { messages: 1 + round })) - begun);
    pauses.push(await server.program.tell<number>('longestPause'));
    await client.tell('settled');
    pausesWithAcks.push(await server.program.tell<number>('longestPause'));
  }
  return { times, pauses, pausesWithAcks };
}
