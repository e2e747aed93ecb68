/** What runs in the thread of {@link LeafThread}. */

import os from 'node:os';
import { parentPort } from 'node:worker_threads';
import { readAuthority } from './authority.ts';
import { LeafWriter } from './leaf.ts';
import { makeLeafs } from './leaf-batch.ts';
import type { LeafAnswer, LeafOrder } from './leaf-thread.ts';

// On Linux that is this thread alone: the event loop, which everybody waits for, comes first.
os.setPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);

let writer: LeafWriter | undefined;
/** What the writer was made from. */
let written: string | undefined;

parentPort!.on('message', ({ trustDomain, authority, requests }: LeafOrder) => {
  if (writer === undefined || written !== authority) {
    writer = new LeafWriter(readAuthority('intermediate', trustDomain, authority));
    written = authority;
  }
  const answers = makeLeafs(writer, requests, new Set()).map((made): LeafAnswer => {
    if (!('fault' in made)) return made;
    const { code, message, cause } = made.fault;
    return { fault: { code, message, cause } };
  });
  parentPort!.postMessage(answers);
});
parentPort!.postMessage('ready');
