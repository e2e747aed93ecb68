/** Choices that are the same for the same seed. */

/** Two of every five rounds are killed while the server starts: chosen by the seed, counted, never left to chance. */
const BLOCK = ['starting', 'starting', 'serving', 'serving', 'serving'] as const;
/** In what phase of the server each round's kill comes. */
export function phases(rounds: number, random: () => number): (typeof BLOCK)[number][] {
  const shuffled = () =>
    BLOCK.map((phase) => ({ phase, order: random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ phase }) => phase);
  return Array.from({ length: Math.ceil(rounds / BLOCK.length) }, shuffled)
    .flat()
    .slice(0, rounds);
}

/** Numbers from 0 (included) to 1 (not included), the same for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
