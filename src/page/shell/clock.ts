/** The time of the server, and a beat for texts that tell times. */

import { signal } from '@preact/signals';

/** What the server's clock is ahead of the browser's, in milliseconds. */
let ahead = 0;

/** Now by the clock of the server, whose times the page shows; it changes each second while the page is visible. */
export const now = signal(Date.now());

/** @param at the time of the server, RFC 3339, in an answer that has just come */
export function setClock(at: string): void {
  const difference = Date.parse(at) - Date.now();
  // Less is the time that the answer took.
  ahead = Math.abs(difference) < 2_000 ? 0 : difference;
  beat();
}

function beat(): void {
  now.value = Date.now() + ahead;
}

export function startClock(): void {
  setInterval(() => {
    if (!document.hidden) beat();
  }, 1_000);
  document.addEventListener('visibilitychange', beat);
}
