/** What a verification finds: every way to tamper with a chain, by tables and at random. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SERVER } from '../../src/audit/actor.ts';
import { chainHash, headerLine, issuanceLine, LineDigest, NO_HASH, recordOf, rowLine } from '../../src/audit/chain.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { ChainError, ChainVerifier } from '../../src/audit/verifier.ts';

const AT = Date.UTC(2026, 5, 1, 12);

/** An export of these events, whose `detail.issuances` is the number of issuances of a row. */
function exported(events: readonly Partial<AuditEvent>[], after = { sequence: 0, hash: NO_HASH }): string[] {
  const lines = [headerLine(after.sequence, after.hash)];
  let { sequence, hash } = after;
  for (const event of events) {
    sequence += 1;
    const record = recordOf(sequence, { at: AT, action: 'alias.created', by: SERVER, ...event });
    hash = chainHash(hash, record);
    lines.push(rowLine(record, hash));
  }
  return lines;
}

/** Rows 1 to 4; row 3 has two issuances. */
function example(kind: 'x509' | 'jwt' = 'x509'): string[] {
  const issued = [1, 2].map((number) =>
    issuanceLine(number, {
      ...{ kind, serial: `0${number}`, spiffeId: 'spiffe://ilinux.io/a', entryId: 'e', authorityId: 'ab' },
      ...{ notBefore: AT, notAfter: AT + 1, issuedAt: AT },
    }),
  );
  const digest = new LineDigest();
  for (const line of issued) digest.add(line);
  const detail = { kind, first: 1, last: 2, latest_end: AT + 1, digest: digest.hex() };
  const lines = exported([{ target: 'a' }, { target: 'b' }, { action: 'svid.issued', detail }, { target: 'd' }]);
  lines.splice(4, 0, ...issued);
  return lines;
}

function verify(lines: readonly string[], expected?: string) {
  const verifier = new ChainVerifier(expected);
  for (const line of lines) verifier.add(line);
  return verifier.end();
}

const hashIn = (line: string) => (JSON.parse(line) as { hash: string }).hash;

describe('a verification', () => {
  test('says what an unchanged export proves', () => {
    const lines = example();
    const { rows, issuances, sequence, hash, after, anchored } = verify(lines);
    assert.deepEqual([rows, issuances, sequence, after, anchored], [4, 2, 4, 0, true]);
    assert.equal(hash, hashIn(lines.at(-1)!));
    for (const at of [1, 2, 3, 6]) verify(lines, hashIn(lines[at]!).toUpperCase());
    verify(lines.slice(0, 1), NO_HASH);
  });

  test('accepts a group of tokens without its issuances if a later row says that they were removed', () => {
    const all = example('jwt');
    assert.deepEqual([verify(all).issuances, verify(all).prunedTokens], [2, 0]);
    const removed = (endedBefore: number) => {
      const detail = JSON.parse(all[3]!).detail;
      return exported([
        ...[{ target: 'a' }, { target: 'b' }, { action: 'svid.issued' as const, detail }, { target: 'd' }],
        { action: 'audit.tokens_pruned' as const, detail: { ended_before: endedBefore } },
      ]);
    };
    const { rows, issuances, prunedTokens } = verify(removed(AT + 2));
    assert.deepEqual([rows, issuances, prunedTokens], [5, 0, 2]);
    for (const lines of [removed(AT + 1), removed(AT + 2).slice(0, -1), removed(AT + 2).slice(0, 4)]) {
      assert.throws(() => verify(lines), /^ChainError: row 3|row 3, which .* no later row says that they were removed/);
    }
    const partly = all.toSpliced(4, 1);
    assert.throws(() => verify(partly), /row 3.*issuance 1 is missing/);
    assert.throws(() => verify(example('x509').toSpliced(4, 2)), /row 3.*issuance 1 is missing/);
  });

  const tampered: Readonly<Record<string, [(lines: string[]) => void, RegExp]>> = {
    'a changed row': [(lines) => (lines[2] = lines[2]!.replace('"b"', '"B"')), /^row 2 does not have its hash/],
    'a changed row with its hash computed anew': [
      (lines) => {
        const record = `${lines[2]!.replace('"b"', '"B"').slice(0, -75)}}`;
        lines[2] = rowLine(record, chainHash(hashIn(lines[1]!), record));
      },
      /^row 3 does not have its hash/,
    ],
    'a removed row': [(lines) => lines.splice(2, 1), /^row 2 is missing: row 3 follows row 1/],
    'a removed first row': [(lines) => lines.splice(1, 1), /^row 1 is missing/],
    'swapped rows': [
      (lines) => ([lines[1], lines[2]] = [lines[2]!, lines[1]!]),
      /^row 1 is missing: row 2 follows row 0/,
    ],
    'swapped rows with their numbers': [
      (lines) => {
        const [one, two] = [lines[1]!, lines[2]!];
        lines[1] = two.replace('"sequence":2', '"sequence":1');
        lines[2] = one.replace('"sequence":1', '"sequence":2');
      },
      /^row 1 does not have its hash/,
    ],
    'a row twice': [(lines) => lines.splice(2, 0, lines[1]!), /^row 2 is missing: row 1 follows row 1/],
    'a changed issuance': [
      (lines) => (lines[4] = lines[4]!.replace('/a"', '/b"')),
      /^row 3, .* issuance from 1 to 2 was changed/,
    ],
    'a removed issuance': [(lines) => lines.splice(4, 1), /^row 3, .* issuance 1 is missing/],
    'swapped issuances': [
      (lines) => ([lines[4], lines[5]] = [lines[5]!, lines[4]!]),
      /^row 3, .* issuance 1 is missing/,
    ],
    'an issuance at the end that is cut off': [
      (lines) => lines.splice(5),
      /^row 3, .* some of its issuances are missing/,
    ],
    'an issuance without a row': [(lines) => lines.splice(6, 0, lines[5]!), /^the line after row 3 is not a row/],
    'no first line': [(lines) => lines.splice(0, 1), /^the first line is not/],
    'another format': [(lines) => (lines[0] = lines[0]!.replace('/1', '/2')), /^the first line is not/],
    'no JSON': [(lines) => (lines[3] = '{'), /^the line after row 2/],
    nothing: [(lines) => lines.splice(0), /^the export is empty/],
  };
  for (const [what, [tamper, message]] of Object.entries(tampered)) {
    test(`finds ${what}`, () => {
      const lines = example();
      tamper(lines);
      assert.throws(
        () => verify(lines),
        (error) => error instanceof ChainError && message.test(error.message),
      );
    });
  }

  test('finds a cut-off end only with the expected hash', () => {
    const lines = example();
    const hash = hashIn(lines.at(-1)!);
    const cut = lines.slice(0, -1);
    assert.equal(verify(cut).sequence, 3);
    assert.throws(() => verify(cut, hash), /^ChainError|rows at the end were removed/);
  });

  test('finds a chain that was computed anew only with the expected hash', () => {
    const [real, forged] = [exported([{ target: 'a' }, { target: 'b' }]), exported([{ target: 'x' }, { target: 'b' }])];
    verify(forged);
    assert.throws(() => verify(forged, hashIn(real.at(-1)!)), /computed anew/);
  });

  test('accepts a chain without its beginning only if a row has the hash of what was pruned', () => {
    const lines = exported([{}, {}, {}]);
    const hash = hashIn(lines[2]!);
    const pruned = (last: number, of: string) => [
      { target: 'c' },
      { action: 'audit.pruned', detail: { last, hash: of, issuances: 0 } } as const,
    ];
    const after = { sequence: 2, hash };
    assert.equal(verify(exported(pruned(2, hash), after)).anchored, true);
    assert.equal(verify(exported(pruned(1, hash), after)).anchored, false);
    assert.equal(verify(exported(pruned(2, NO_HASH), after)).anchored, false);
    assert.equal(verify(exported([], { sequence: 0, hash })).anchored, false);
  });

  test('finds any changed character', () => {
    const good = example();
    const text = good.join('\n');
    const hash = hashIn(good.at(-1)!);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
        const changed = `${text.slice(0, at)}${String.fromCharCode(code)}${text.slice(at + 1)}`;
        if (changed === text) return;
        assert.throws(() => verify(changed.split('\n'), hash));
      }),
      { numRuns: 2_000 },
    );
  });

  test('records of any texts come back from their lines', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const lines = exported(texts.map((target) => ({ target, detail: { hash: target } })));
        assert.equal(verify(lines).rows, texts.length);
        for (const [at, target] of texts.entries()) {
          assert.equal((JSON.parse(lines[at + 1]!) as { target: string }).target, target);
        }
      }),
    );
  });
});
