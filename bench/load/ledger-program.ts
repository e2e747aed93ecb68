/** Weighs what is kept of names, by the objects that streams have, without streams. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Ledger, type LedgerStream } from '../../src/delivery/ledger.ts';
import { reportSecret } from '../../src/sds/secret-report.ts';
import { Subscription } from '../../src/sds/subscription.ts';
import { WatchedNames } from '../../src/sds/watched-names.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makeJoin, ScriptedPeer, TRUST_DOMAIN } from '../../test/identity/support.ts';
import { Cleanup } from '../figure.ts';
import { obey } from './program.ts';

export interface WeighOptions {
  readonly streams: number;
  readonly streamsAConnection: number;
  /** What is kept: what the ledger tells of a stream and its name, or all that the stream itself has of it. */
  readonly what: 'reports' | 'subscriptions';
}

/** Of a NACK, in characters: Envoy's are about as long. */
const NACK_TEXT = 200;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

obey({ weigh });

/** Bytes of heap a stream, each with one name whose certificate, of its own, was taken, and the next one rejected. */
async function weigh({ streams, streamsAConnection, what }: WeighOptions): Promise<number> {
  const cleanup = new Cleanup();
  const { identities, clock } = await makeJoin(cleanup as unknown as Parameters<typeof makeJoin>[0]);
  const ledger = new Ledger(createLog('silent'));
  const peers = Array.from({ length: Math.ceil(streams / streamsAConnection) }, () => new ScriptedPeer());
  const name = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/web`);

  const make = (i: number): unknown => {
    const peer = peers[Math.floor(i / streamsAConnection)]!;
    const subscription = new Subscription(`0123abcd.${i}.`, false);
    const watched = new WatchedNames(identities, identities.caller(peer), TRUST_DOMAIN, () => subscription.begin());
    subscription.begin();
    for (const added of subscription.replace([name], true).added) watched.follow(added);
    for (const [n, rejection] of [undefined, textOf(i, NACK_TEXT)].entries()) {
      clock.advance(1);
      subscription.markDirty(name);
      subscription.takeDirty();
      subscription.push([{ name, version: textOf(`${i}.${n}`, 16) }], [], clock.now());
      subscription.answer(rejection, clock.now());
    }
    const times = { notBefore: clock.now(), notAfter: clock.now() + 3_600_000 };
    const serial = textOf(i, 32);
    Object.assign(watched.get(name)!, { certificate: { entryId: String(i), spiffeId: name, serial, ...times } });
    const report = reportSecret(subscription.get(name)!, watched.get(name)!, clock.now());
    const stream = { peer } as unknown as LedgerStream;
    ledger.open(stream);
    if (what === 'subscriptions') return { stream, subscription, watched };
    // Else the caller would keep them.
    watched.clear();
    return { stream, report, openedAt: clock.now() };
  };

  // What is made once is made before, the callers' maps too.
  for (const peer of peers) {
    const watched = new WatchedNames(identities, identities.caller(peer), TRUST_DOMAIN, () => undefined);
    watched.follow(name);
    watched.clear();
  }
  make(0);
  const kept: unknown[] = new Array(streams).fill(undefined);
  const before = heap();
  for (let i = 0; i < streams; i += 1) kept[i] = make(i);
  const grown = heap() - before;
  if (kept.includes(undefined)) throw new Error('something must hold them');
  await cleanup.run();
  return grown / streams;
}

/** As one that was read: in one piece, like no other's. */
function textOf(start: unknown, length: number): string {
  return Buffer.from(`${start} `.padEnd(length, 'x')).toString();
}

function heap(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
