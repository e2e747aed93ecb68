/** The program of {@link LeafThread}'s worker thread. */

import { X509Certificate } from 'node:crypto';
import os from 'node:os';
import { parentPort } from 'node:worker_threads';
import { describe } from './authority.ts';
import { LeafWriter } from './leaf.ts';
import { makeLeafs } from './leaf-batch.ts';
import type { LeafAnswer, LeafOrder } from './leaf-thread.ts';

// On Linux this changes only the calling thread: the event loop takes precedence.
os.setPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);

let writer: LeafWriter | undefined;

parentPort!.on('message', ({ certificatePem, privateKey, requests }: LeafOrder) => {
  if (writer?.authority.certificatePem !== certificatePem || !writer.authority.privateKey.equals(privateKey)) {
    writer = new LeafWriter(describe('intermediate', new X509Certificate(certificatePem), privateKey));
  }
  const answers = makeLeafs(writer, requests, new Set()).map((made): LeafAnswer => {
    if (!('fault' in made)) return made;
    const { code, message, cause } = made.fault;
    return { fault: { code, message, cause } };
  });
  parentPort!.postMessage(answers);
});
parentPort!.postMessage('ready');
