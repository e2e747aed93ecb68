import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Listeners } from '../../src/base/listeners.ts';

function unexpected(error: unknown): never {
  throw error;
}

test('a failing listener does not affect the others, and its error is reported', () => {
  const failures: unknown[] = [];
  const heard: string[] = [];
  const listeners = new Listeners<string>((error) => failures.push(error));
  const broken = new Error('broken');
  listeners.add(() => {
    throw broken;
  });
  listeners.add((news) => heard.push(news));
  listeners.tell('a');
  assert.deepEqual(heard, ['a']);
  assert.deepEqual(failures, [broken]);
});

test('a listener that is added twice is told once, and a stopped one no longer', () => {
  const heard: string[] = [];
  const listeners = new Listeners<string>(unexpected);
  const listener = (news: string) => heard.push(news);
  const stop = listeners.add(listener);
  listeners.add(listener);
  assert.equal(listeners.size, 1);
  listeners.tell('a');
  stop();
  listeners.tell('b');
  assert.deepEqual(heard, ['a']);
});

test('a listener that is added during an event gets the next one', () => {
  const heard: string[] = [];
  const listeners = new Listeners<string>(unexpected);
  listeners.add(() => listeners.add((news) => heard.push(news)));
  listeners.tell('a');
  assert.deepEqual(heard, []);
  listeners.tell('b');
  assert.deepEqual(heard, ['b']);
});
