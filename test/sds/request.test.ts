import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DeltaDiscoveryRequest, DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import {
  checkTypeUrl,
  MAX_NAME_LENGTH,
  MAX_NAMES,
  readDeltaDiscoveryRequest,
  readDiscoveryRequest,
  SECRET_TYPE_URL,
} from '../../src/sds/request.ts';
import { Status, StatusError } from '../../src/wire/types.ts';

type Given = Parameters<typeof DiscoveryRequest.fromPartial>[0];
const bytesOf = (request: Given) => DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish();
const read = (request: Given, withNode = true) => readDiscoveryRequest(bytesOf(request), withNode);
const invalid = (message: RegExp) => (error: unknown) =>
  error instanceof StatusError && error.status === Status.INVALID_ARGUMENT && message.test(error.message);

describe('a DiscoveryRequest', () => {
  it('is read as the generated code wrote it', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(text, text, fc.array(text, { maxLength: 5 }), fc.option(text), (version, nonce, names, rejected) => {
        const request = read({
          versionInfo: version,
          responseNonce: nonce,
          resourceNames: names,
          typeUrl: SECRET_TYPE_URL,
          ...(rejected === null ? {} : { errorDetail: { code: 13, message: rejected } }),
        });
        assert.deepEqual(request, {
          responseNonce: nonce,
          resourceNames: names,
          typeUrl: SECRET_TYPE_URL,
          errorDetail: rejected === null ? undefined : { message: rejected },
          node: undefined,
        });
      }),
    );
  });

  it('may have no fields at all', () => {
    const request = readDiscoveryRequest(Buffer.alloc(0), true);
    assert.deepEqual(request.resourceNames, []);
    assert.equal(request.node, undefined);
  });

  it('has the used fields of its node, and only if the node is wanted', () => {
    const node = {
      id: 'n',
      cluster: 'c',
      userAgentName: 'envoy',
      userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 40, patch: 2 } },
      extensions: [{ name: 'envoy.filters.http.router', category: 'x' }],
      metadata: { disable_spiffe_cert_validation: true, other: { deep: [1, 2] } },
    };
    assert.deepEqual(read({ node }).node, {
      id: 'n',
      cluster: 'c',
      version: '1.40.2',
      disableSpiffeCertValidation: true,
    });
    assert.equal(read({ node }, false).node, undefined);
  });

  it('keeps the first 1,000 bytes of a text of its node', () => {
    assert.equal(read({ node: { id: 'n'.repeat(200_000) } }).node?.id, 'n'.repeat(1_000));
  });

  it('refuses bytes in place of a node that are none, if the node is wanted', () => {
    const broken = Buffer.from([0x12, 2, 0x0a, 9]);
    assert.throws(() => readDiscoveryRequest(broken, true), invalid(/valid Node/));
    assert.doesNotThrow(() => readDiscoveryRequest(broken, false));
  });

  it('accepts a node whose version is set but empty, which makes a SPIRE agent crash', () => {
    assert.equal(read({ node: { userAgentBuildVersion: {} } }).node?.version, '');
    assert.equal(read({ node: { userAgentBuildVersion: { version: {} } } }).node?.version, '0.0.0');
  });

  it('reads disable_spiffe_cert_validation as SPIRE does: a boolean or its text', () => {
    const wish = (value: unknown) =>
      read({ node: { metadata: { disable_spiffe_cert_validation: value } } }).node?.disableSpiffeCertValidation;
    for (const value of [true, '1', 't', 'T', 'true', 'TRUE', 'True']) assert.equal(wish(value), true, String(value));
    for (const value of [false, '0', 'f', 'F', 'false', 'FALSE', 'False'])
      assert.equal(wish(value), false, String(value));
    for (const value of ['yes', '', 1, null, ['true'], { true: true }]) assert.equal(wish(value), undefined);
  });

  it('is refused with too many or too long names; the message has the limits', () => {
    const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);
    assert.equal(read({ resourceNames: names(MAX_NAMES) }).resourceNames.length, MAX_NAMES);
    assert.throws(() => read({ resourceNames: names(MAX_NAMES + 1) }), invalid(/has 10001 names; the limit is 10000/));
    assert.equal(read({ resourceNames: ['x'.repeat(MAX_NAME_LENGTH)] }).resourceNames.length, 1);
    assert.throws(
      () => read({ resourceNames: ['a', 'x'.repeat(MAX_NAME_LENGTH + 1)] }),
      invalid(/resource_names\[1\] has 2049 characters; the limit is 2048/),
    );
  });

  it('is refused if it is garbage, without other harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          readDiscoveryRequest(bytes, true);
        } catch (error) {
          assert.ok(invalid(/./)(error), String(error));
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('is refused or read in part if it is truncated anywhere, without other harm', () => {
    const bytes = bytesOf({
      versionInfo: '1',
      node: { id: 'n', cluster: 'c', metadata: { disable_spiffe_cert_validation: 'true' } },
      resourceNames: ['spiffe://ilinux.io/web'],
      errorDetail: { code: 13, message: 'no' },
    });
    for (let end = 0; end < bytes.length; end += 1) {
      try {
        readDiscoveryRequest(bytes.subarray(0, end), true);
      } catch (error) {
        assert.ok(invalid(/is not a valid/)(error), `at ${end}: ${error}`);
      }
    }
  });
});

describe('a DeltaDiscoveryRequest', () => {
  const bytesOfDelta = (request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]) =>
    DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish();

  it('is read as the generated code wrote it', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 });
    const names = fc.array(text, { maxLength: 5 });
    const versions = fc.dictionary(
      text.filter((name) => name !== '__proto__'),
      text,
      { maxKeys: 5 },
    );
    fc.assert(
      fc.property(
        names,
        names,
        versions,
        text,
        fc.option(text),
        (subscribe, unsubscribe, initial, responseNonce, rejected) => {
          const bytes = bytesOfDelta({
            resourceNamesSubscribe: subscribe,
            resourceNamesUnsubscribe: unsubscribe,
            initialResourceVersions: initial,
            responseNonce,
            typeUrl: SECRET_TYPE_URL,
            node: { id: 'n', cluster: 'c' },
            ...(rejected === null ? {} : { errorDetail: { code: 13, message: rejected } }),
          });
          assert.deepEqual(readDeltaDiscoveryRequest(bytes, false), {
            subscribe,
            unsubscribe,
            initialVersions: new Map(Object.entries(initial)),
            responseNonce,
            typeUrl: SECRET_TYPE_URL,
            errorDetail: rejected === null ? undefined : { message: rejected },
            node: undefined,
          });
          assert.equal(readDeltaDiscoveryRequest(bytes, true).node?.id, 'n');
        },
      ),
    );
  });

  it('is refused with too many names; the message has the field', () => {
    const long = 'x'.repeat(MAX_NAME_LENGTH + 1);
    const many = Array.from({ length: MAX_NAMES + 1 }, (_, i) => `${i}`);
    for (const [request, message] of [
      [{ resourceNamesSubscribe: ['a', long] }, /resource_names_subscribe\[1\] has 2049 characters; the limit is 2048/],
      [{ resourceNamesUnsubscribe: many }, /resource_names_unsubscribe has 10001 names; the limit is 10000/],
      [{ initialResourceVersions: { [long]: '1' } }, /initial_resource_versions\[0\] has 2049/],
    ] as const) {
      assert.throws(() => readDeltaDiscoveryRequest(bytesOfDelta(request as object), true), invalid(message));
    }
  });
});

describe('a text that is kept for display', () => {
  it('is truncated, so that clients cannot fill the memory with it', () => {
    const long = 'x'.repeat(100_000);
    const { node, errorDetail } = read({ node: { id: long, cluster: long }, errorDetail: { code: 13, message: long } });
    assert.deepEqual([node!.id.length, node!.cluster.length, errorDetail!.message.length], [1_000, 1_000, 1_000]);
  });
});

describe('a type_url', () => {
  it('may be the Secret type or empty; anything else is refused', () => {
    checkTypeUrl(SECRET_TYPE_URL, false);
    checkTypeUrl('', false);
    assert.throws(
      () => checkTypeUrl('type.googleapis.com/envoy.config.listener.v3.Listener', false),
      invalid(/listener\.v3\.Listener" is not served/),
    );
    assert.throws(() => checkTypeUrl(`${SECRET_TYPE_URL} `, false), invalid(/is not served/));
  });

  it('must not be empty on a service with many types', () => {
    checkTypeUrl(SECRET_TYPE_URL, true);
    assert.throws(() => checkTypeUrl('', true), invalid(/type_url "" is not served/));
  });
});
