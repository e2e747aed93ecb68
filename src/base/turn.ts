/** Numbers the turns of the event loop, so that a result can be cached within one turn. */

let turn = 0;
let isEnding = false;

/** A number that stays the same during a turn of the event loop. */
export function currentTurn(): number {
  if (!isEnding) {
    isEnding = true;
    setImmediate(() => {
      turn += 1;
      isEnding = false;
    });
  }
  return turn;
}
