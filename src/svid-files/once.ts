/** Fetches and writes all files once, for jobs. */

import { existsSync } from 'node:fs';
import type { Clock } from '../base/index.ts';
import type { Part } from './contents.ts';
import type { Feed } from './feeds.ts';
import { Generations } from './generation.ts';
import { partsOf } from './parts.ts';
import type { FilesPlan } from './plan.ts';
import type { SvidSource } from './source.ts';

export interface OnceOptions {
  readonly plan: FilesPlan;
  readonly source: SvidSource;
  readonly clock: Clock;
  /** How long it tries, in milliseconds. */
  readonly limitMs: number;
  /** It tries again after a failure; else the first one is final. */
  readonly isPatient: boolean;
}

export interface WrittenOnce {
  /** What is risky about the directory. */
  readonly warning: string | undefined;
  readonly x509: Part | undefined;
}

/**
 * Writes either all files or none.
 * @throws ERR_FILES; Error with the last reason why something was not received
 */
export async function writeOnce(options: OnceOptions): Promise<WrittenOnce> {
  const generations = new Generations(options.plan);
  try {
    // A missing directory is made only if there is something to write.
    if (existsSync(options.plan.directory)) generations.check();
    const parts = await receiveAll(options);
    generations.write(parts.flatMap(({ files }) => files));
    return { warning: generations.check(), x509: options.plan.x509 === undefined ? undefined : parts[0] };
  } finally {
    generations.close();
  }
}

async function receiveAll({ plan, source, clock, limitMs, isPatient }: OnceOptions): Promise<Part[]> {
  const received = new Map<number, Part>();
  const feeds: Feed[] = [];
  const plans = partsOf(plan, source, clock, () => received.get(0));
  const { promise, resolve, reject } = Promise.withResolvers<Part[]>();
  let problem = 'the server has not answered';
  const limit = setTimeout(() => {
    reject(new Error(`not all files could be fetched within ${limitMs / 1_000} s: ${problem}`));
  }, limitMs);
  for (const [at, one] of plans.entries()) {
    const feed = one.start({
      part: (part) => {
        received.set(at, part);
        if (received.size === plans.length) resolve(plans.map((_, place) => received.get(place)!));
        // Its form depends on the own trust domain.
        else if (one.kind === 'x509') feeds.find((_, place) => plans[place]!.kind === 'jwt-bundle')?.again();
      },
      problem: (error) => {
        problem = error.message;
        if (!isPatient) reject(error);
      },
    });
    feeds.push(feed);
  }
  try {
    return await promise;
  } finally {
    clearTimeout(limit);
    for (const feed of feeds) feed.close();
  }
}
