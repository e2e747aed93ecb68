/** The moment at which the server is killed: around one of the events of its load, picked at random. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { CrashingServer } from './server.ts';

export interface ShotOptions<Event> {
  readonly server: Pick<CrashingServer, 'shoot'>;
  /** The kind of event that is counted. */
  readonly counted: Event;
  /** The shot falls at one of this many of them. */
  readonly most: number;
  /** Before or after it by at most this, in milliseconds; before it means at once. */
  readonly longestDelay: number;
  readonly random: () => number;
}

export interface Shot<Event> {
  /** Resolves when the server is to be dead. */
  readonly hit: Promise<void>;
  /** To call for each event of the load. */
  readonly progress: (event: Event) => void;
}

export function aimShot<Event>({ server, counted, most, longestDelay, random }: ShotOptions<Event>): Shot<Event> {
  const hit = Promise.withResolvers<void>();
  let left = Math.ceil(random() * most);
  const delay = (random() * 2 - 1) * longestDelay;
  const progress = (event: Event) => {
    if (event !== counted) return;
    left -= 1;
    if (left !== 0) return;
    if (delay <= 0) server.shoot();
    hit.resolve(sleep(Math.max(0, delay)));
  };
  return { hit: hit.promise, progress };
}
