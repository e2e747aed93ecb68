import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DeltaDiscoveryResponse, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { certificateSecret } from '../../src/sds/secrets.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';

const bytes = fc.uint8Array({ maxLength: 20_000, size: 'max' }).map((array) => Buffer.from(array));

describe('a certificate as a secret', () => {
  it('is written as the generated code writes it, in both variants', () => {
    fc.assert(
      fc.property(bytes, bytes, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), (chain, key, name) => {
        const encoded = certificateSecret(name, {
          entryId: 'web',
          spiffeId: parseSpiffeId('spiffe://ilinux.io/web'),
          certificateChain: chain,
          privateKey: key,
          serial: '01',
          authorityId: '02',
          notBefore: 0,
          notAfter: 1,
          renewAt: 1,
        });
        const secret = Secret.fromPartial({
          name,
          tlsCertificate: { certificateChain: { inlineBytes: chain }, privateKey: { inlineBytes: key } },
        });
        const typeUrl = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
        const resource = { typeUrl, value: Buffer.from(Secret.encode(secret).finish()) };
        const sotw = DiscoveryResponse.decode(encoded.sotw);
        assert.deepEqual(sotw, DiscoveryResponse.fromPartial({ resources: [resource] }));
        assert.deepEqual(Secret.decode(sotw.resources[0]!.value), Secret.decode(Secret.encode(secret).finish()));
        const delta = DeltaDiscoveryResponse.decode(encoded.delta);
        const resources = [{ name, version: encoded.version, resource }];
        assert.deepEqual(delta, DeltaDiscoveryResponse.fromPartial({ resources }));
      }),
      { numRuns: 50 },
    );
  });
});
