/** The queue of streams that wait to push, and the pausing of their connections. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Peer } from '../../src/attest/types.ts';
import { PushQueue } from '../../src/sds/push-queue.ts';
import { until } from '../identity/support.ts';

/** Longer than a slice. */
const LONG_MS = 6;

/** The pushes of streams and the pauses of connections, in order. */
class Scene {
  readonly queue = new PushQueue();
  readonly done: string[] = [];

  /** A connection that records when it is paused and resumed. */
  peer(id: string): Peer {
    const note = (what: string) => () => void this.done.push(`${id} ${what}`);
    return { id, pause: note('pauses'), resume: note('goes on') } as unknown as Peer;
  }

  /** A stream that records its pushes and spends some milliseconds on each. */
  stream(name: string, { milliseconds = 0, peer = this.peer(name), sends = true } = {}) {
    return this.queue.place({
      peer,
      push: () => {
        this.done.push(`${name} pushes`);
        for (const end = performance.now() + milliseconds; performance.now() < end; );
        return sends;
      },
    });
  }

  /** A stream on its own connection that queues itself again after each push, until it is stopped. */
  restless(name: string, goOn: () => boolean) {
    const place = this.queue.place({
      peer: this.peer(name),
      push: () => {
        this.done.push(`${name} pushes`);
        if (goOn()) this.queue.add(place);
        return true;
      },
    });
    return place;
  }

  /** The recorded pushes only: on a busy machine a slice ends early, so the pauses vary. */
  get pushes(): string[] {
    return this.done.filter((line) => line.endsWith('pushes'));
  }

  count(what: string): number {
    return this.done.filter((line) => line.endsWith(what)).length;
  }
}

describe('the queue of pushes', () => {
  it('lets the streams of one connection push in a row, each once', async () => {
    const scene = new Scene();
    const [a, b] = [scene.peer('a'), scene.peer('b')];
    const streams = [scene.stream('a1', { peer: a }), scene.stream('b1', { peer: b }), scene.stream('a2', { peer: a })];
    for (const one of [...streams, ...streams]) scene.queue.add(one);
    assert.deepEqual(scene.done, []);
    await until(() => scene.pushes.length >= 3);
    await turn();
    assert.deepEqual(scene.pushes, ['a1 pushes', 'a2 pushes', 'b1 pushes']);
  });

  it('yields to the event loop between slices, and continues after it', async () => {
    const scene = new Scene();
    for (let i = 0; i < 5; i += 1) scene.queue.add(scene.stream(`${i}`, { milliseconds: LONG_MS }));
    await turn();
    await turn();
    const pushed = scene.count('pushes');
    assert.ok(pushed > 0 && pushed < 5, `${pushed} of 5 in the first slices`);
    await until(() => scene.count('pushes') === 5);
  });

  it('forgets a stream that has closed', async () => {
    const scene = new Scene();
    const [a, b] = [scene.stream('a'), scene.stream('b')];
    scene.queue.add(a);
    scene.queue.add(b);
    scene.queue.remove(a);
    await until(() => scene.done.length > 0);
    await turn();
    assert.deepEqual(scene.done, ['b pushes']);
    scene.queue.add(b);
    scene.queue.remove(b);
    scene.queue.add(a);
    await until(() => scene.done.length > 1);
    assert.deepEqual(scene.done, ['b pushes', 'a pushes']);
  });

  it('serves a stream that queues itself again after the streams of other connections', async () => {
    const scene = new Scene();
    const again = scene.restless('a', () => scene.pushes.length < 4);
    scene.queue.add(again);
    scene.queue.add(scene.stream('b'));
    await until(() => scene.pushes.length === 4);
    await turn();
    assert.deepEqual(scene.pushes, ['a pushes', 'b pushes', 'a pushes', 'a pushes']);
  });
});

describe('the connections of streams that push', () => {
  it('are paused after their push while other streams wait, and resumed in order when none waits', async () => {
    const scene = new Scene();
    const streams = ['a', 'b', 'c'].map((name) => scene.stream(name, { milliseconds: LONG_MS }));
    const round = ['a pushes', 'a pauses', 'b pushes', 'b pauses', 'c pushes', 'a goes on', 'b goes on'];
    for (const rounds of [round, [...round, ...round]]) {
      for (const one of streams) scene.queue.add(one);
      await until(() => scene.done.length >= rounds.length);
      assert.deepEqual(scene.done, rounds);
    }
  });

  it('are not paused if one slice is enough for all', async (t) => {
    t.mock.method(performance, 'now', () => 0);
    const scene = new Scene();
    for (const name of ['a', 'b', 'c']) scene.queue.add(scene.stream(name));
    await until(() => scene.pushes.length === 3);
    await turn();
    await turn();
    assert.equal(scene.done.length, 3);
  });

  it('are not paused if nothing was sent to them, since they may wait for what is read', async () => {
    const scene = new Scene();
    for (const name of ['a', 'b', 'c']) {
      scene.queue.add(scene.stream(name, { milliseconds: LONG_MS, sends: name === 'b' }));
    }
    await until(() => scene.count('goes on') === 1);
    assert.deepEqual(scene.done, ['a pushes', 'b pushes', 'b pauses', 'c pushes', 'b goes on']);
  });

  it('are paused once, however many slices their streams take', async () => {
    const scene = new Scene();
    const one = scene.peer('one');
    for (const name of ['a', 'b', 'c']) scene.queue.add(scene.stream(name, { milliseconds: LONG_MS, peer: one }));
    await until(() => scene.count('goes on') === 1);
    assert.deepEqual(scene.done, ['a pushes', 'one pauses', 'b pushes', 'c pushes', 'one goes on']);
  });

  it('are resumed a few at a time', async () => {
    const scene = new Scene();
    for (let i = 0; i < 21; i += 1) scene.queue.add(scene.stream(`${i}`, { milliseconds: LONG_MS }));
    await until(() => scene.count('pushes') === 21);
    assert.equal(scene.count('pauses'), 20);
    const counts = [scene.count('goes on')];
    while (counts.at(-1)! < 20) {
      await turn();
      counts.push(scene.count('goes on'));
    }
    const most = Math.max(...counts.map((count, i) => count - (counts[i - 1] ?? 0)));
    assert.ok(most <= 8, `${most} at a time`);
  });

  it('are resumed after LATE_MS while streams keep waiting, the longest paused first', async () => {
    const scene = new Scene();
    const { queue, done } = scene;
    queue.add(scene.stream('a', { milliseconds: LONG_MS }));
    queue.add(scene.stream('b', { milliseconds: LONG_MS }));
    const begin = performance.now();
    queue.add(scene.restless('c', () => !done.includes('b goes on')));
    await until(() => done.includes('b goes on'));
    const took = performance.now() - begin;
    assert.ok(took >= 1_000, `${took} ms`);
    assert.ok(done.indexOf('a goes on') < done.indexOf('b goes on'));
    assert.ok(done.indexOf('a goes on') > done.indexOf('b pauses'));
  });

  it('are resumed as fast as others are paused while streams keep waiting', async () => {
    const scene = new Scene();
    for (let i = 0; i < 40; i += 1) scene.queue.add(scene.restless(`${i}`, () => scene.count('goes on') === 0));
    await until(() => scene.count('goes on') > 0);
    // One turn resumes as many as one slice paused, which is all forty.
    const first = scene.done.findIndex((line) => line.endsWith('goes on'));
    const rest = scene.done.slice(first);
    const inOneTurn = rest.findIndex((line) => !line.endsWith('goes on'));
    assert.ok((inOneTurn === -1 ? rest.length : inOneTurn) > 8, `${inOneTurn} of ${rest.length}`);
  });
});
