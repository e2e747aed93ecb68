/** Rounds in which all streams of a client get one message more. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Program } from './program.ts';
import type { InnerServer } from './server.ts';

/** For the last ACKs of the round before. */
const BETWEEN_MS = 500;

/**
 * Of each, how long it takes until the last stream has its message, and the longest pause of the server's event loop in it, in
 * milliseconds. To call while all streams have one message.
 * @param begin begins a round, and says when
 */
export async function timeRounds(
  server: InnerServer,
  client: Program,
  count: number,
  begin: () => Promise<number>,
): Promise<{ times: number[]; pauses: number[] }> {
  const times: number[] = [];
  const pauses: number[] = [];
  for (let round = 1; round <= count; round += 1) {
    await pause(BETWEEN_MS);
    await server.program.tell('watchPauses');
    const begun = await begin();
    times.push((await client.tell<number>('received', { messages: 1 + round })) - begun);
    pauses.push(await server.program.tell<number>('longestPause'));
  }
  return { times, pauses };
}
