/** Requests as Envoys send them, of either variant: with all its extensions a real one's node has 61 KB. */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { DeltaDiscoveryRequest, DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE_URL } from '../../src/sds/request.ts';

/** `real`: of the size of Envoy 1.40's. */
export type NodeSize = 'real' | 'tiny';

/** The bytes of an Envoy 1.40's first request. */
const REAL_BYTES = 61_182;

/** How secrets are asked for. */
export type Variant = 'sotw' | 'delta';

/** A request without version and nonce, which {@link answerTo} adds to it; `names` are all, or those that are new. */
export function requestFor(names: readonly string[], size: NodeSize | 'none', variant: Variant = 'sotw'): Buffer {
  const encode = (extensions: number) => {
    const common = { typeUrl: SECRET_TYPE_URL, ...(size === 'none' ? {} : { node: nodeWith(extensions) }) };
    const bytes =
      variant === 'sotw'
        ? DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ ...common, resourceNames: [...names] }))
        : DeltaDiscoveryRequest.encode(
            DeltaDiscoveryRequest.fromPartial({ ...common, resourceNamesSubscribe: [...names] }),
          );
    return Buffer.from(bytes.finish());
  };
  if (size !== 'real') return encode(0);
  const perExtension = (encode(1_000).length - encode(0).length) / 1_000;
  return encode(Math.round((REAL_BYTES - encode(0).length) / perExtension));
}

function nodeWith(extensions: number) {
  return {
    id: 'bench-envoy',
    cluster: 'bench',
    userAgentName: 'envoy',
    userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 40, patch: 0 } },
    extensions: Array.from({ length: extensions }, (_, i) => ({
      name: `envoy.filters.http.extension_${i}`,
      category: 'envoy.filters.http',
      typeUrls: [`type.googleapis.com/envoy.extensions.filters.http.extension_${i}.v3.Config`],
    })),
  };
}

const VERSION_INFO = 0x0a;
const NONCE = 0x2a;
const DELTA_RESPONSE_NONCE = 0x32;

/**
 * The ACK of a response: the request with the response's version and nonce, whose fields are copied as they are. A load
 * that encodes and decodes would measure itself. In parts, of which the request is the one that was given.
 */
export function answerTo(response: Buffer, request: Buffer, variant: Variant = 'sotw'): Buffer[] {
  const nonce = fieldOf(response, NONCE);
  if (variant === 'sotw') return [request, Buffer.concat([fieldOf(response, VERSION_INFO), nonce])];
  return [request, Buffer.concat([Buffer.of(DELTA_RESPONSE_NONCE), nonce.subarray(1)])];
}

/** A field with its tag; both variants' responses have version and nonce in the same places, and shorter than 128 bytes. */
function fieldOf(response: Buffer, tag: number): Buffer {
  const reader = new BinaryReader(response);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    if (response[start] === tag) return response.subarray(start, start + 2 + response[start + 1]!);
    const [field, wireType] = reader.tag();
    reader.skip(wireType, field);
  }
  throw new Error(`a response without the field of tag ${tag}`);
}
