/** The settings of the published bundle against each other. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadServeConfig } from '../../src/config/load.ts';

const load = (flags: Record<string, string>) =>
  loadServeConfig({ flags: { trustDomain: 'example.org', ...flags }, env: {}, uid: 0, folder: '/etc/sidekey' });

const LISTEN = { federationListen: '127.0.0.1:0' };
const WEB = { ...LISTEN, federationProfile: 'https_web' };
const FILES = { federationCertFile: '/etc/hosts', federationKeyFile: '/etc/hosts' };

const REFUSED: readonly (readonly [name: string, flags: Record<string, string>, message: RegExp])[] = [
  ['a profile without a listener', { federationProfile: 'https_web' }, /^--federation-profile: it has no effect; /],
  [
    'files without a listener',
    FILES,
    /^--federation-cert-file: it has no effect; .*\n--federation-key-file: it has no/,
  ],
  [
    'files with https_spiffe',
    { ...LISTEN, ...FILES },
    /^--federation-cert-file: it has no effect with the profile https_s/,
  ],
  [
    'https_web without files',
    WEB,
    /^--federation-cert-file: it is not set, and --federation-profile is https_web; .*\n--federation-key-file: it is not/,
  ],
  [
    'a SPIFFE ID with https_web',
    { ...WEB, ...FILES, federationSpiffeId: 'spiffe://example.org/sidekey/x' },
    /no effect/,
  ],
  [
    'an unknown profile',
    { ...LISTEN, federationProfile: 'https' },
    /^--federation-profile: "https" is not a known value/,
  ],
  [
    'a SPIFFE ID that entries can have',
    { ...LISTEN, federationSpiffeId: 'spiffe://example.org/web' },
    /^--federation-spiffe-id: the path of .* is one that entries can have; it begins with \/sidekey\/ or \/spire\//,
  ],
  ['the SPIFFE ID /sidekey', { ...LISTEN, federationSpiffeId: 'spiffe://example.org/sidekey' }, /entries can have/],
  ['one of other case', { ...LISTEN, federationSpiffeId: 'spiffe://example.org/Sidekey/x' }, /entries can have/],
  [
    'a SPIFFE ID of another trust domain',
    { ...LISTEN, federationSpiffeId: 'spiffe://other.org/sidekey/server' },
    /^--federation-spiffe-id: its trust domain is other\.org; /,
  ],
  [
    'a SPIFFE ID that is none',
    { ...LISTEN, federationSpiffeId: 'https://x/sidekey/y' },
    /^--federation-spiffe-id: .*scheme/,
  ],
  [
    'a file in the data directory',
    { federationPublishFile: '/var/lib/sidekey/bundle.json' },
    /^--federation-publish-file: .* is in the data directory, "\/var\/lib\/sidekey"; /,
  ],
  [
    'a hint that is too long for the JWT keys',
    { ...LISTEN, federationRefreshHint: '2h' },
    /^--federation-refresh-hint: a new authority is published for 5 refresh hints \(10h\) .*--jwt-key-ttl is 1d; .*3 times/,
  ],
  [
    'roots that live too short for the hint',
    { federationPublishFile: '/srv/bundle.json', rootTtl: '1h' },
    /^--root-ttl: a new authority is published for 5 refresh hints \(25m\) before it signs, and --root-ttl is 1h; /,
  ],
  [
    "an upstream's intermediates that live too short for the hint",
    { ...LISTEN, offlineRoot: 'true', caTtl: '1h' },
    /^--ca-ttl: a new authority is published for 5 refresh hints/,
  ],
  [
    'a hint of a day and more',
    { ...LISTEN, federationRefreshHint: '25h' },
    /^--federation-refresh-hint: "25h" is too long/,
  ],
];

for (const [name, flags, message] of REFUSED) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(load(flags), (error: Error & { code: string }) => {
      assert.equal(error.code, 'ERR_CONFIG');
      assert.match(error.message, message);
      return true;
    });
  });
}

test('the SPIFFE ID is that of the trust domain, and may be the one that a SPIRE server had', async () => {
  assert.equal((await load(LISTEN)).federationSpiffeId, 'spiffe://example.org/sidekey/server');
  const spire = 'spiffe://example.org/spire/server';
  assert.equal((await load({ ...LISTEN, federationSpiffeId: spire })).federationSpiffeId, spire);
});

test('a long hint is allowed where the lives leave room, and where nobody fetches the bundle', async () => {
  const long = { federationRefreshHint: '24h' };
  assert.equal((await load({ ...LISTEN, ...long, jwtKeyTtl: '15d' })).federationRefreshHint, 86_400);
  assert.equal((await load(long)).federationRefreshHint, 86_400);
});
