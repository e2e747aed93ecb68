/**
 * Writes DiscoveryResponses. An encoded message is the same as its fields encoded one by one, so that only version and
 * nonce are encoded for each: the secrets, and what all responses have in common, are ready.
 */

import { DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE_URL } from './request.ts';
import type { EncodedSecret } from './secrets.ts';

/** What `control_plane.identifier` says. */
export const CONTROL_PLANE = 'sidekey';

const EMPTY: DiscoveryResponse = DiscoveryResponse.fromPartial({});
const COMMON = DiscoveryResponse.encode(
  DiscoveryResponse.fromPartial({ typeUrl: SECRET_TYPE_URL, controlPlane: { identifier: CONTROL_PLANE } }),
).finish();

export function writeDiscoveryResponse(push: {
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly EncodedSecret[];
}): Uint8Array {
  const { versionInfo, nonce, resources } = push;
  const own = DiscoveryResponse.encode({ ...EMPTY, versionInfo, nonce }).finish();
  return Buffer.concat([own, COMMON, ...resources.map(({ resource }) => resource)]);
}
