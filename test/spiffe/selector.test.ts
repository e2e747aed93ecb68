import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { redactSelector } from '../../src/attest/selector-kinds.ts';
import { formatSelector, splitSelector } from '../../src/spiffe/selector.ts';

test('a selector is split at its first colon', () => {
  assert.deepEqual(splitSelector('unix:uid:1000'), { type: 'unix', value: 'uid:1000' });
  assert.deepEqual(splitSelector('docker:label:a:b:c'), { type: 'docker', value: 'label:a:b:c' });
  assert.deepEqual(splitSelector('a::'), { type: 'a', value: ':' });
});

test('without a colon, or with nothing on one side of it, it is no selector', () => {
  for (const text of ['', 'unix', ':', 'unix:', ':uid:1000', '!', '!:', '!unix', '!unix:', '!:uid:1000'])
    assert.equal(splitSelector(text), undefined, text);
});

test('what is split and put together again is the same', () => {
  const type = fc.string({ minLength: 1 }).filter((text) => !text.includes(':') && !text.startsWith('!'));
  const negated = fc.constantFrom({}, { negated: true as const });
  fc.assert(
    fc.property(type, fc.string({ minLength: 1 }), negated, (type, value, negated) => {
      const selector = { type, value, ...negated };
      assert.deepEqual(splitSelector(formatSelector(selector)), selector);
    }),
  );
});

test('the value of an environment variable is not shown, all else is', () => {
  assert.equal(redactSelector({ type: 'docker', value: 'env:PASSWORD=a=b' }), 'docker:env:PASSWORD=[redacted]');
  const excluded = { type: 'docker', value: 'env:PASSWORD=a=b', negated: true } as const;
  assert.equal(redactSelector(excluded), '!docker:env:PASSWORD=[redacted]');
  assert.equal(redactSelector({ type: 'docker', value: 'env:HOME' }), 'docker:env:HOME');
  assert.equal(redactSelector({ type: 'docker', value: 'label:a=b' }), 'docker:label:a=b');
  assert.equal(redactSelector({ type: 'unix', value: 'path:/env:A=b' }), 'unix:path:/env:A=b');
});
