import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JsonLines } from '../../src/entries-file/json-lines.ts';
import { parseWithList } from '../../src/entries-file/json-list.ts';
import { lineAt } from '../../src/entries-file/lines.ts';
import { parseYaml } from '../../src/entries-file/yaml.ts';

const INDENT = fc.constantFrom(undefined, 1, '\t');

describe('JSON with a list, in slices', () => {
  it('is read as JSON.parse reads it', async () => {
    const list = fc.array(fc.jsonValue(), { maxLength: 5 });
    const value = fc.oneof(
      fc.record({ source: fc.jsonValue(), entries: list }, { requiredKeys: [] }),
      fc.dictionary(fc.constantFrom('entries', 'a', '"', '\\'), fc.jsonValue()),
      fc.jsonValue(),
    );
    await fc.assert(
      fc.asyncProperty(value, INDENT, async (given, indent) => {
        const text = JSON.stringify(given, undefined, indent);
        assert.deepEqual(await parseWithList(text, 'entries'), JSON.parse(text));
      }),
    );
  });

  it('is refused where JSON.parse refuses it', async () => {
    for (const text of [
      ...[
        '',
        '{',
        '{"entries"',
        '{"entries":[',
        '{"entries":[1',
        '{"entries":[1}',
        '{"entries":[1,]}',
        '{"entries":[,1]}',
      ],
      ...[
        '{"entries":[1 2]}',
        '{"entries":[1],}',
        '{"entries":[{]}]}',
        '{"entries":[[}]]}',
        '{"entries":["a]}',
        '[1]]',
      ],
      ...['{"entries":[1]}}', '{"entries":[1]} x', '{"a":1 "entries":[1]}', '{"entries":[\u00a01]}'],
    ]) {
      assert.throws(() => JSON.parse(text), text);
      await assert.rejects(parseWithList(text, 'entries'), { code: 'ERR_BAD_JSON' }, text);
    }
  });

  it('says which element is bad, and refuses a list that is there twice', async () => {
    await assert.rejects(parseWithList('{"entries":[1,{"a":}]}', 'entries'), /^SidekeyError: \/entries\/1: /);
    for (const text of [
      '{"entries":[1],"entries":[2]}',
      '{"entries":[1],"entries":2}',
      '{"entries":[1],"\\u0065ntries":2}',
    ]) {
      await assert.rejects(parseWithList(text, 'entries'), /the member entries is there twice/, text);
    }
  });

  it('lets the event loop run', async () => {
    const entries = Array.from({ length: 100_000 }, (_, n) => ({ id: `entry-${n}`, selectors: ['unix:uid:1'] }));
    const text = JSON.stringify({ source: 'a', entries });
    let turns = 0;
    const count = setInterval(() => {
      turns += 1;
    }, 1);
    const read = (await parseWithList(text, 'entries')) as { entries: unknown[] };
    clearInterval(count);
    assert.equal(read.entries.length, 100_000);
    assert.ok(turns >= 3, `${turns} turns of a timer`);
  });
});

describe('the lines of JSON', () => {
  it('are those that the YAML parser finds', () => {
    const key = fc.constantFrom('a', 'b c', 'x509_svid_ttl', '"', '\\n', '');
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(null, 1, 'x', 'a\n"b\\', true),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(key, tie('value'), { maxKeys: 4 }),
      ),
    }));
    const keys = fc.array(fc.oneof(key, fc.constantFrom('0', '1', '2')), { maxLength: 4 });
    fc.assert(
      fc.property(fc.dictionary(key, value), INDENT, keys, (given, indent, path) => {
        const text = JSON.stringify(given, undefined, indent);
        const [document] = parseYaml(text);
        assert.equal(new JsonLines(text).lineAt(path), lineAt(document!.lines(), path), text);
      }),
    );
  });

  it('know a field by each of its spellings', () => {
    const lines = new JsonLines('{\n"spec": {\n"x509SVIDTTL":\n 7}}');
    assert.equal(lines.lineAt(['spec', 'x509_svid_ttl']), 3);
    assert.equal(lines.lineAt(['spec', 'nothing']), 2);
    assert.equal(lines.lineAt([]), 1);
  });
});
