/** Which connections are deferred while pushes wait, and when they are resumed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PushFlow } from '../../src/delivery/push-flow.ts';
import type { StreamConnection } from '../../src/wire/types.ts';

/** Records the deferrals, by the connections' numbers. */
class Scene {
  readonly flow = new PushFlow();
  /** How often each connection is deferred now. */
  readonly deferred = new Map<number, number>();
  resumed: number[] = [];
  readonly #connections: StreamConnection[];

  constructor(count: number) {
    this.#connections = Array.from({ length: count }, (_, number) => ({
      defer: () => void this.deferred.set(number, (this.deferred.get(number) ?? 0) + 1),
      resume: () => {
        this.deferred.set(number, this.deferred.get(number)! - 1);
        this.resumed.push(number);
      },
    }));
  }

  slice(sentTo: readonly number[], areWaiting: boolean, now: number): boolean {
    this.resumed = [];
    return this.flow.after(new Set(sentTo.map((number) => this.#connections[number]!)), areWaiting, now);
  }

  get all(): number[] {
    return [...this.deferred].flatMap(([number, times]) => (times > 0 ? [number] : []));
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('the flow of pushes', () => {
  it('defers no connection if no stream waits after the slice', () => {
    const scene = new Scene(3);
    assert.equal(scene.slice([0, 1, 2], false, 0), false);
    assert.deepEqual(scene.all, []);
  });

  it('resumes eight connections at a time when no stream waits any more, the longest deferred first', () => {
    const scene = new Scene(21);
    for (const at of range(0, 20)) assert.equal(scene.slice([at], true, at), true);
    assert.deepEqual(scene.all, range(0, 20));
    assert.equal(scene.slice([20], false, 20), true);
    assert.deepEqual(scene.resumed, range(0, 8));
    assert.equal(scene.slice([], false, 21), true);
    assert.deepEqual(scene.resumed, range(8, 16));
    assert.equal(scene.slice([], false, 22), false);
    assert.deepEqual(scene.resumed, range(16, 20));
    assert.deepEqual(scene.all, []);
  });

  it('resumes a connection after a second while streams keep waiting, the longest deferred first', () => {
    const scene = new Scene(3);
    scene.slice([0], true, 0);
    scene.slice([1], true, 5);
    assert.equal(scene.slice([2], true, 999), true);
    assert.deepEqual(scene.resumed, []);
    scene.slice([2], true, 1_000);
    assert.deepEqual(scene.resumed, [0]);
    scene.slice([2], true, 1_005);
    assert.deepEqual(scene.resumed, [1]);
  });

  it('resumes as many as it defers while streams keep waiting', () => {
    const scene = new Scene(80);
    scene.slice(range(0, 40), true, 0);
    scene.slice(range(40, 80), true, 1_000);
    assert.deepEqual(scene.resumed, range(0, 40));
    assert.deepEqual(scene.all, range(40, 80));
  });

  it('never defers a connection twice, and resumes all of them in the end', () => {
    const slice = fc.record({
      sentTo: fc.array(fc.integer({ min: 0, max: 19 }), { maxLength: 12 }),
      areWaiting: fc.boolean(),
      later: fc.integer({ min: 0, max: 700 }),
    });
    fc.assert(
      fc.property(fc.array(slice, { maxLength: 60 }), (slices) => {
        const scene = new Scene(20);
        let now = 0;
        for (const { sentTo, areWaiting, later } of slices) {
          now += later;
          const goesOn = scene.slice(sentTo, areWaiting, now);
          assert.ok([...scene.deferred.values()].every((times) => times === 0 || times === 1));
          assert.equal(goesOn, scene.all.length > 0);
        }
        for (let turns = 0; scene.slice([], false, now); turns += 1) assert.ok(turns < 3);
        assert.deepEqual(scene.all, []);
      }),
    );
  });
});
