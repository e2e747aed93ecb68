/** Other processes, which run a piece of code of their own. */

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');

/** A user that is not root and owns nothing. */
export const NOBODY = 65_534;

/** Why tests as another user can't run here; undefined where they can. */
export function whyNotNobody(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start processes as another user';
  const { status } = spawnSync(process.execPath, ['-e', `require('fs').readdirSync(${JSON.stringify(root)})`], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: '/',
  });
  return status === 0 ? undefined : 'another user can read neither this checkout nor its Node';
}

export interface Child {
  readonly process: ChildProcessByStdio<null, Readable, null>;
  /** The first line that it prints; rejects when it ends without one. */
  readonly firstLine: Promise<string>;
  /** Ends it the hard way and waits until it has. */
  kill(): Promise<void>;
}

/**
 * Runs TypeScript in a process of its own; `src/…` in it is the project's. Killed when the test ends.
 * @param as uid and gid, the test's own when absent
 */
export function runChild(t: TestContext, code: string, as?: number): Child {
  const script = code.replaceAll("'src/", `'${root}/src/`);
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(as === undefined ? {} : { uid: as, gid: as }),
  });
  const ended = once(child, 'close');
  const firstLine = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    ended.then(([status]) => reject(new Error(`the child ended with ${status} and said nothing`)), reject);
  });
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.after(kill);
  return { process: child, firstLine, kill };
}
