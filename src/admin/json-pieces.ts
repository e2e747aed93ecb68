/** Writes JSON of any length in pieces, to bound memory and the time per turn of the event loop. */

import { Slices } from '../base/index.ts';

/** Size of a chunk, in characters. */
const CHUNK = 32 * 1024;

/**
 * An object with a list as its last member, in pieces. An empty piece marks a place to pause; an item that has only empty
 * pieces is left out.
 * @param head the members before the list, at least one
 * @param orNothing whether an object with an empty list is left out too
 */
export function* objectWithList(
  head: () => object,
  member: string,
  items: Iterable<Iterable<string>>,
  orNothing: boolean,
): Generator<string> {
  const opening = () => `${JSON.stringify(head()).slice(0, -1)},${JSON.stringify(member)}:[`;
  let begun = false;
  if (!orNothing) yield opening();
  for (const item of items) {
    let itemBegun = false;
    for (const piece of item) {
      if (piece !== '' && !itemBegun) {
        if (begun) yield ',';
        else if (orNothing) yield opening();
        begun = true;
        itemBegun = true;
      }
      yield piece;
    }
  }
  if (begun || !orNothing) yield ']}';
}

/** Joins the pieces into chunks; yields to the event loop after each slice. */
export async function* inSlices(pieces: Iterable<string>): AsyncGenerator<string> {
  let chunk = '';
  const slices = new Slices();
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length >= CHUNK) {
      yield chunk;
      chunk = '';
    }
    if (slices.isOver()) await slices.next();
  }
  if (chunk !== '') yield chunk;
}
