/** The queue of streams that wait to push. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PushQueue } from '../../src/delivery/push-queue.ts';
import type { StreamConnection } from '../../src/wire/types.ts';
import { until } from '../identity/support.ts';

/** Longer than a slice. */
const LONG_MS = 6;

/** The pushes of streams and the deferrals of connections, in order. */
class Scene {
  readonly queue = new PushQueue();
  readonly done: string[] = [];

  /** A connection that records when it is deferred and resumed. */
  connection(id: string): StreamConnection {
    const note = (what: string) => () => void this.done.push(`${id} ${what}`);
    return { defer: note('is deferred'), resume: note('goes on') };
  }

  /** A stream that records its pushes and spends some milliseconds on each. */
  stream(name: string, { milliseconds = 0, connection = this.connection(name), sends = true } = {}) {
    return this.queue.place({
      connection,
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
      connection: this.connection(name),
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
    const [a, b] = [scene.connection('a'), scene.connection('b')];
    const streams = [
      scene.stream('a1', { connection: a }),
      scene.stream('b1', { connection: b }),
      scene.stream('a2', { connection: a }),
    ];
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
  it('are deferred after their push while other streams wait, and resumed in order when none waits', async () => {
    const scene = new Scene();
    const streams = ['a', 'b', 'c'].map((name) => scene.stream(name, { milliseconds: LONG_MS }));
    const round = ['a pushes', 'a is deferred', 'b pushes', 'b is deferred', 'c pushes', 'a goes on', 'b goes on'];
    for (const rounds of [round, [...round, ...round]]) {
      for (const one of streams) scene.queue.add(one);
      await until(() => scene.done.length >= rounds.length);
      assert.deepEqual(scene.done, rounds);
    }
  });

  it('are not deferred if one slice is enough for all', async (t) => {
    t.mock.method(performance, 'now', () => 0);
    const scene = new Scene();
    for (const name of ['a', 'b', 'c']) scene.queue.add(scene.stream(name));
    await until(() => scene.pushes.length === 3);
    await turn();
    await turn();
    assert.equal(scene.done.length, 3);
  });

  it('are not deferred if nothing was sent to them, since they may wait for what is read', async () => {
    const scene = new Scene();
    for (const name of ['a', 'b', 'c']) {
      scene.queue.add(scene.stream(name, { milliseconds: LONG_MS, sends: name === 'b' }));
    }
    await until(() => scene.count('goes on') === 1);
    assert.deepEqual(scene.done, ['a pushes', 'b pushes', 'b is deferred', 'c pushes', 'b goes on']);
  });

  it('are deferred once, however many slices their streams take', async () => {
    const scene = new Scene();
    const one = scene.connection('one');
    for (const name of ['a', 'b', 'c']) scene.queue.add(scene.stream(name, { milliseconds: LONG_MS, connection: one }));
    await until(() => scene.count('goes on') === 1);
    assert.deepEqual(scene.done, ['a pushes', 'one is deferred', 'b pushes', 'c pushes', 'one goes on']);
  });
});
