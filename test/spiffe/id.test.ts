import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  SpiffeIdError,
  trustDomainId,
  trustDomainOf,
} from '../../src/spiffe/id.ts';

const TRUST_DOMAIN_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789.-_';
const PATH_CHARACTERS = `${TRUST_DOMAIN_CHARACTERS}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;
const BYTES = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
/** Look-alikes, what upper- and lower-casing or normalising makes ASCII of, a surrogate alone and a pair. */
const NON_ASCII = ['а', 'ı', 'ſ', '\u212a', 'ａ', '．', '／', '∕', '‥', '\u200b', '\u202e', '\ud800', '\udc00', '🤯'];

function refuses(parse: (text: string) => unknown, text: string, problem?: RegExp): void {
  assert.throws(
    () => parse(text),
    (error) => {
      assert.ok(error instanceof SpiffeIdError, String(error));
      if (problem !== undefined) assert.match(error.problem, problem);
      assert.notEqual(error.rule, '');
      assert.equal(error.message, `${error.problem}; ${error.rule}`);
      // A message is for logs and terminals.
      assert.match(error.message, /^[\x20-\x7e]*$/);
      return true;
    },
    JSON.stringify(text),
  );
}

test('a trust domain takes lower-case letters, digits, dot, hyphen and underscore, and no other of the 256 bytes', () => {
  for (const byte of BYTES) {
    for (const name of [byte, `a${byte}b`, `${byte}a`, `a${byte}`]) {
      if (TRUST_DOMAIN_CHARACTERS.includes(byte)) assert.equal(parseTrustDomain(name), name);
      else refuses(parseTrustDomain, name);
    }
  }
});

test('the trust domain of a SPIFFE ID takes the same bytes', () => {
  for (const byte of BYTES) {
    const id = `spiffe://a${byte}b/path`;
    if (TRUST_DOMAIN_CHARACTERS.includes(byte)) assert.equal(parseSpiffeId(id), id);
    // A slash ends the trust domain: what follows is path.
    else if (byte === '/') assert.equal(trustDomainOf(parseSpiffeId(id)), 'a');
    else refuses(parseSpiffeId, id);
  }
});

test('a path segment takes letters, digits, dot, hyphen and underscore, and no other of the 256 bytes', () => {
  for (const byte of BYTES) {
    for (const id of [`spiffe://td/a${byte}b`, `spiffe://td/first/${byte}x`, `spiffe://td/x${byte}`]) {
      const isGood = PATH_CHARACTERS.includes(byte) || (byte === '/' && id.includes('a/b'));
      if (isGood) assert.equal(parseSpiffeId(id), id);
      else refuses(parseSpiffeId, id);
    }
  }
});

test('nothing beyond ASCII is taken, wherever it stands', () => {
  for (const character of NON_ASCII) {
    refuses(parseTrustDomain, `a${character}`, /U\+[0-9A-F]{4,6} at byte 1$/);
    refuses(parseSpiffeId, `spiffe://a${character}/p`, /U\+[0-9A-F]{4,6} at byte 1$/);
    refuses(parseSpiffeId, `spiffe://td/p${character}`, /U\+[0-9A-F]{4,6} at byte 13$/);
    refuses(parseSpiffeId, `${character}spiffe://td/p`, /scheme/);
  }
});

test('good SPIFFE IDs come back byte for byte, with their parts', () => {
  for (const [trustDomain, path] of [
    ['ilinux.io', '/front-envoy'],
    ['td', '/a/b/c'],
    ['td', '/.path'],
    ['td', '/..path'],
    ['td', '/...'],
    ['td', '/a..b/.c./d..'],
    ['1.2.3.4', '/A-Z_a-z.0-9'],
    ['..', '/x'],
    ['-', '/-'],
    ['spiffe', '/spiffe'],
  ] as const) {
    const text = `spiffe://${trustDomain}${path}`;
    const id = parseSpiffeId(text);
    assert.equal(id, text);
    assert.equal(trustDomainOf(id), trustDomain);
    assert.equal(pathOf(id), path);
    assert.equal(trustDomainId(parseTrustDomain(trustDomain)), `spiffe://${trustDomain}`);
  }
});

test('bad SPIFFE IDs are refused with what is wrong with them', () => {
  const rows: readonly (readonly [text: string, problem: RegExp])[] = [
    ['', /empty/],
    ['s', /scheme/],
    ['spiffe:/', /scheme/],
    ['spiffe:td/path', /scheme/],
    ['Spiffe://td/path', /scheme/],
    ['SPIFFE://td/path', /scheme/],
    ['https://td/path', /scheme/],
    [' spiffe://td/path', /scheme/],
    ['spiffe://', /trust domain is missing/],
    ['spiffe:///', /trust domain is missing/],
    ['spiffe:///path', /trust domain is missing/],
    ['spiffe://td', /no path/],
    ['spiffe://td/', /ends with a slash/],
    ['spiffe://td/path/', /ends with a slash/],
    ['spiffe://td//', /empty path segment at byte 12/],
    ['spiffe://td//path', /empty path segment at byte 12/],
    ['spiffe://td/path//', /empty path segment at byte 17/],
    ['spiffe://td/a//b', /empty path segment at byte 14/],
    ['spiffe://td/.', /segment "\."/],
    ['spiffe://td/..', /segment "\.\."/],
    ['spiffe://td/./path', /segment "\."/],
    ['spiffe://td/../path', /segment "\.\."/],
    ['spiffe://td/path/.', /segment "\."/],
    ['spiffe://td/path/..', /segment "\.\." at byte 17/],
    ['spiffe://td/path/./other', /segment "\."/],
    ['spiffe://td/path/../other', /segment "\.\."/],
    ['spiffe://TD/path', /"T" at byte 0/],
    ['spiffe://tD/path', /"D" at byte 1/],
    ['spiffe://td:443/path', /":" at byte 2/],
    ['spiffe://user@td/path', /"@"/],
    ['spiffe://td%2fpath/x', /"%"/],
    ['spiffe://%F0%9F%A4%AF/path', /"%"/],
    ['spiffe://td/%62%61%64', /"%"/],
    ['spiffe://td/path%2f..', /"%"/],
    ['spiffe://td/path?query', /"\?"/],
    ['spiffe://td?query', /"\?"/],
    ['spiffe://td/path#fragment', /"#"/],
    ['spiffe://td/path$', /"\$"/],
    ['spiffe://td/path\\x', /"\\\\"/],
    ['spiffe://td/path\n', /U\+000A/],
    ['spiffe://td/path\0', /U\+0000/],
    ['spiffe://td/path ', /U\+0020/],
    ['spiffe://td\n/path', /U\+000A/],
  ];
  for (const [text, problem] of rows) refuses(parseSpiffeId, text, problem);
});

test('bad trust domains are refused with what is wrong with them', () => {
  refuses(parseTrustDomain, '', /missing/);
  refuses(parseTrustDomain, 'spiffe://td', /begins with spiffe:/);
  const ruleOf = (text: string) => {
    try {
      parseTrustDomain(text);
    } catch (error) {
      return (error as SpiffeIdError).rule;
    }
    return undefined;
  };
  assert.equal(ruleOf('spiffe://example.org'), 'leave off spiffe://: example.org');
  assert.equal(ruleOf('spiffe://example.org/web'), 'leave off spiffe:// and the path: example.org');
  assert.match(ruleOf('spiffe://Example.org')!, /^a trust domain is 1 to 255/);
  assert.match(ruleOf('spiffe://')!, /^a trust domain is 1 to 255/);
  refuses(parseTrustDomain, 'td/', /"\/"/);
  refuses(parseTrustDomain, 'Td', /"T"/);
  refuses(parseTrustDomain, 'td ', /U\+0020/);
});

test('a SPIFFE ID has at most 2048 bytes, a trust domain 255', () => {
  const ofLength = (length: number) => `spiffe://td/${'a'.repeat(length - 'spiffe://td/'.length)}`;
  assert.equal(parseSpiffeId(ofLength(2048)).length, 2048);
  refuses(parseSpiffeId, ofLength(2049), /2049/);
  assert.equal(parseTrustDomain('a'.repeat(255)).length, 255);
  refuses(parseTrustDomain, 'a'.repeat(256), /256 bytes/);
  assert.equal(trustDomainOf(parseSpiffeId(`spiffe://${'a'.repeat(255)}/x`)).length, 255);
  refuses(parseSpiffeId, `spiffe://${'a'.repeat(256)}/x`, /256 bytes/);
  // 1024 characters of two bytes each: short enough in characters, too long in bytes, and refused either way.
  refuses(parseSpiffeId, `spiffe://td/${'é'.repeat(1024)}`);
  refuses(parseTrustDomain, 'é'.repeat(128));
});

test('whatever the parser takes, the grammar of the standard takes, and the other way round', () => {
  const grammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;
  const piece = fc.constantFrom(
    'spiffe://',
    'td',
    '/',
    '//',
    '.',
    '..',
    '...',
    'a',
    'B',
    '-',
    '_',
    '%2e',
    ':',
    '\n',
    'é',
  );
  const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
  const likely = fc.oneof(
    text,
    text.map((rest) => `spiffe://td/${rest}`),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(likely, (candidate) => {
      // `$` also stands before a last newline in some dialects, not in JavaScript's.
      if (grammar.test(candidate)) assert.equal(parseSpiffeId(candidate), candidate);
      else refuses(parseSpiffeId, candidate);
    }),
    { numRuns: 3_000 },
  );
});
