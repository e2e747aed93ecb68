/** Compares the own encoder with the generated one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { X509Svid } from '../../src/ca/types.ts';
import { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DeltaDiscoveryResponse, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE_URL } from '../../src/sds/request.ts';
import { certificateSecret } from '../../src/sds/secrets.ts';
import { bytesOf } from '../support/message.ts';

/** Lengths around those that need one more byte for the length. */
const bytes = fc
  .oneof(fc.nat(300), fc.integer({ min: 16_000, max: 17_000 }), fc.integer({ min: 2_097_000, max: 2_097_300 }))
  .map((length) => Buffer.alloc(length, length));

test('a certificate is encoded as by the generated code, whatever its size', () => {
  const name = fc.oneof(fc.string({ minLength: 1, unit: 'grapheme', maxLength: 300 }), fc.constant('é'.repeat(200)));
  fc.assert(
    fc.property(name, bytes, bytes, (name, certificateChain, privateKey) => {
      const svid = {
        entryId: 'e',
        certificateChain: certificateChain.toString('latin1'),
        privateKey: privateKey.toString('latin1'),
      } as unknown as X509Svid;
      const tlsCertificate = {
        certificateChain: { inlineBytes: certificateChain },
        privateKey: { inlineBytes: privateKey },
      };
      const value = Buffer.from(Secret.encode(Secret.fromPartial({ name, tlsCertificate })).finish());
      const resources = [{ typeUrl: SECRET_TYPE_URL, value }];
      const expected = DiscoveryResponse.encode(DiscoveryResponse.fromPartial({ resources })).finish();
      const secret = certificateSecret(name, svid);
      const [resource] = DeltaDiscoveryResponse.decode(bytesOf(secret.delta)).resources;
      assert.deepEqual([resource?.name, resource?.version], [name, secret.version]);
      assert.ok(resource?.resource?.typeUrl === SECRET_TYPE_URL && value.equals(resource.resource.value));
      assert.ok(bytesOf(secret.sotw).equals(expected), `${name}, ${certificateChain.length}, ${privateKey.length}`);
    }),
    { numRuns: 60 },
  );
});
