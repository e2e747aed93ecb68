/** Turns of the event loop: for what need not be looked at twice within one. */

let turn = 0;
let isEnding = false;

/** A number that stays the same until the event loop has gone round. */
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
