import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SidekeyError } from '../../src/base/errors.ts';
import { parseAliasHost, parseAliasTarget } from '../../src/registry/alias-input.ts';
import { TRUST_DOMAIN } from './support.ts';

function fault(read: () => unknown): SidekeyError['problems'][number] {
  try {
    read();
  } catch (thrown) {
    assert.ok(thrown instanceof SidekeyError && thrown.code === 'ERR_BAD_INPUT', String(thrown));
    assert.equal(thrown.problems.length, 1, thrown.message);
    return thrown.problems[0]!;
  }
  assert.fail('it was taken');
}

describe('the name of an alias', () => {
  test('is a host name, in lower case', () => {
    assert.equal(parseAliasHost('web.example.org'), 'web.example.org');
    assert.equal(parseAliasHost('Web.EXAMPLE.org'), 'web.example.org');
    assert.equal(parseAliasHost('localhost'), 'localhost');
    assert.equal(parseAliasHost('xn--bcher-kva.example'), 'xn--bcher-kva.example');
    assert.equal(parseAliasHost('a'.repeat(253)).length, 253);
  });

  test('may be any other name that an Envoy may ask for', () => {
    for (const name of ['server_cert', 'identity_cert:secret:default', 'kubernetes://web', 'a/b', '10.0.0.1', '%41']) {
      assert.equal(parseAliasHost(name), name);
    }
  });

  test('is told why it is refused', () => {
    const rows: readonly (readonly [name: string, rule: RegExp])[] = [
      ['', /1 to 253/],
      ['a'.repeat(254), /1 to 253/],
      ['default', /meaning of their own/],
      ['ROOTCA', /meaning of their own/],
      ['ALL', /meaning of their own/],
      ['all', /meaning of their own/],
      ['Default', /meaning of their own/],
      ['spiffe://ilinux.io', /SPIFFE ID/],
      ['SPIFFE://ilinux.io/web', /SPIFFE ID/],
      ['*.example.org', /no wildcard/],
      ['*', /no wildcard/],
      ['web.example.org.', /no dot at the end/],
      ['.', /no dot at the end/],
      ['..', /no dot at the end/],
      ['bücher.example', /xn--bcher-kva\.example/],
      ['a b', /visible ASCII/],
      ['a\u0000', /visible ASCII/],
      ['\u212a.example', /ASCII/],
      ['\ud800', /visible ASCII/],
    ];
    for (const [name, rule] of rows) {
      const { path, rule: told } = fault(() => parseAliasHost(name));
      assert.equal(path, 'host');
      assert.match(told, rule, name);
    }
  });

  test('read again is the same, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.string({ unit: 'grapheme' }), fc.string()), (text) => {
        let host: string;
        try {
          host = parseAliasHost(text);
        } catch (thrown) {
          assert.ok(thrown instanceof SidekeyError && thrown.code === 'ERR_BAD_INPUT', String(thrown));
          return;
        }
        assert.equal(parseAliasHost(host), host);
        assert.match(host, /^[\x21-\x7e]{1,253}$/);
        assert.doesNotMatch(host, /[A-Z]/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('what an alias stands for', () => {
  test('is a SPIFFE ID of the own trust domain', () => {
    assert.equal(parseAliasTarget({ spiffe_id: 'spiffe://ilinux.io/web' }, TRUST_DOMAIN), 'spiffe://ilinux.io/web');
  });

  test('is told why it is refused', () => {
    const rows: readonly (readonly [body: unknown, path: string])[] = [
      [undefined, ''],
      ['spiffe://ilinux.io/web', ''],
      [{}, '/spiffe_id'],
      [{ spiffe_id: 7 }, '/spiffe_id'],
      [{ spiffe_id: 'spiffe://ilinux.io' }, '/spiffe_id'],
      [{ spiffe_id: 'spiffe://other.example/web' }, '/spiffe_id'],
      [{ spiffe_id: 'spiffe://ilinux.io/spire/server' }, '/spiffe_id'],
      [{ spiffe_id: 'spiffe://ilinux.io/web', host: 'x' }, '/host'],
    ];
    for (const [body, path] of rows) assert.equal(fault(() => parseAliasTarget(body, TRUST_DOMAIN)).path, path);
  });
});
