import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Problem, SidekeyError } from '../../src/base/errors.ts';
import { type GivenRelationship, parseRelationship } from '../../src/registry/relationship-input.ts';
import { makeCertificate } from '../support/certificates.ts';
import { TRUST_DOMAIN } from './support.ts';

const root = await makeCertificate();
const SPIFFE = {
  trust_domain: 'other.example',
  bundle_endpoint_url: 'https://other.example:8443/a%2Fb?x=y',
  bundle_endpoint_profile: 'https_spiffe',
  endpoint_spiffe_id: 'spiffe://other.example/spire/server',
};
const WEB = {
  trust_domain: 'other.example',
  bundle_endpoint_url: 'https://other.example/',
  bundle_endpoint_profile: 'https_web',
};

function read(value: unknown, inPath?: string): GivenRelationship | readonly Problem[] {
  const rules = {
    own: TRUST_DOMAIN,
    now: Date.now(),
    warn: () => undefined,
    ...(inPath === undefined ? {} : { trustDomain: inPath as typeof TRUST_DOMAIN }),
  };
  try {
    return parseRelationship(value, rules);
  } catch (thrown) {
    assert.ok(thrown instanceof SidekeyError && thrown.code === 'ERR_BAD_INPUT', String(thrown));
    assert.ok(thrown.problems.length > 0);
    return thrown.problems;
  }
}

function refuses(value: unknown, where: string, problem: RegExp, inPath?: string): void {
  const problems = read(value, inPath);
  assert.ok(Array.isArray(problems), `it was taken: ${JSON.stringify(value)}`);
  assert.deepEqual(
    problems.map((one: Problem) => [one.path, problem.test(`${one.problem}; ${one.rule}`)]),
    [[where, true]],
    JSON.stringify(problems),
  );
}

describe('a relationship', () => {
  test('has every parameter as it was given, the URL byte for byte', () => {
    assert.deepEqual(read(SPIFFE), {
      relationship: {
        trustDomain: 'other.example',
        url: 'https://other.example:8443/a%2Fb?x=y',
        profile: 'https_spiffe',
        endpointSpiffeId: 'spiffe://other.example/spire/server',
        endpointCa: undefined,
      },
      bundle: undefined,
    });
    const web = read({ ...WEB, endpoint_ca: `our CA\n${root.pem}` }) as GivenRelationship;
    assert.equal(web.relationship.endpointCa, root.pem);
  });

  test('is also read from an element of federation.json, with its bundle as PEM or JSON', () => {
    const names = {
      trustDomain: 'spiffe://other.example',
      bundleEndpointURL: SPIFFE.bundle_endpoint_url,
      bundleEndpointProfile: 'https_spiffe',
      endpointSPIFFEID: SPIFFE.endpoint_spiffe_id,
    };
    const pem = read({ ...names, trustDomainBundle: root.pem, trustDomainBundleFormat: 'pem' });
    const json = read({ ...names, trustDomainBundle: { keys: [root.key] }, trustDomainBundleFormat: 'spiffe' });
    for (const one of [pem, json] as GivenRelationship[]) {
      assert.equal(one.relationship.trustDomain, 'other.example');
      assert.deepEqual(one.bundle?.x509Authorities, [root.der]);
    }
  });

  test('is refused with the field, its problem and the rule', () => {
    const rows: readonly (readonly [value: unknown, where: string, problem: RegExp])[] = [
      [7, '', /7/],
      [{ ...SPIFFE, more: 1 }, '/more', /no such field/],
      [{ ...SPIFFE, trustDomain: 'x.example' }, '/trustDomain', /again/],
      [{ ...SPIFFE, trust_domain: undefined }, '/trust_domain', /missing/],
      [{ ...SPIFFE, trust_domain: TRUST_DOMAIN }, '/trust_domain', /own trust domain/],
      [{ ...SPIFFE, trust_domain: 'crl-epoch.invalid' }, '/trust_domain', /reserved/],
      [{ ...SPIFFE, bundle_endpoint_profile: '' }, '/bundle_endpoint_profile', /https_spiffe or https_web/],
      [{ ...SPIFFE, endpoint_spiffe_id: '' }, '/endpoint_spiffe_id', /https_spiffe needs/],
      [{ ...SPIFFE, endpoint_spiffe_id: 'spiffe://other.example' }, '/endpoint_spiffe_id', /no path/],
      [{ ...SPIFFE, endpoint_ca: root.pem }, '/endpoint_ca', /known by the bundle/],
      [{ ...WEB, endpoint_spiffe_id: SPIFFE.endpoint_spiffe_id }, '/endpoint_spiffe_id', /only endpoints of/],
      [{ ...WEB, endpoint_ca: 'x' }, '/endpoint_ca', /no certificate/],
      [{ ...WEB, endpoint_ca: root.privateKey }, '/endpoint_ca', /PRIVATE KEY/],
      [{ ...WEB, trust_domain_bundle: 'x' }, '/trust_domain_bundle', /no certificate/],
      [
        { ...WEB, trust_domain_bundle: '{"keys":[]}', trust_domain_bundle_format: 'spiffe' },
        '/trust_domain_bundle',
        /text/,
      ],
      [{ ...WEB, trust_domain_bundle_format: 'x' }, '/trust_domain_bundle_format', /pem .*spiffe/],
    ];
    for (const [value, where, problem] of rows) refuses(value, where, problem);
    refuses(SPIFFE, '/trust_domain', /third\.example/, 'third.example');
  });

  test('has an https URL that every program reads alike', () => {
    const rows: Record<string, RegExp> = {
      'http://other.example/': /scheme/,
      'ftp://other.example/': /scheme/,
      'other.example': /https URL/,
      'https://': /https URL/,
      'https:///x': /https URL/,
      'https://user@other.example/': /user name/,
      'https://user:secret@other.example/': /user name/,
      'https://@other.example/': /user name/,
      'https://good.example\\@127.0.0.1/': /backslash/,
      'https://other.example/a b': /blank/,
      'https://other.example/é': /ASCII/,
      'https://other.example/\r\nHost: x': /ASCII/,
      'https://other.example/#x': /fragment/,
      'https://other.example:0/': /port/,
      'https://other.example:99999/': /https URL/,
      [`https://other.example/${'a'.repeat(2_048)}`]: /at most 2048/,
    };
    for (const [url, problem] of Object.entries(rows)) {
      refuses({ ...WEB, bundle_endpoint_url: url }, '/bundle_endpoint_url', problem);
      assert.doesNotMatch(JSON.stringify(read({ ...WEB, bundle_endpoint_url: url })), /secret/);
    }
    for (const url of ['HTTPS://Other.Example', 'https://[2001:db8::1]:8443/a/../b?c', 'https://1.2.3.4']) {
      const taken = read({ ...WEB, bundle_endpoint_url: url }) as GivenRelationship;
      assert.equal(taken.relationship?.url, url);
    }
  });
});
