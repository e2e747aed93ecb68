/** Writes DiscoveryResponses around secrets that are encoded already. */

import { DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE_URL } from './request.ts';
import type { EncodedSecret } from './secrets.ts';

/** What `control_plane.identifier` says. */
export const CONTROL_PLANE = 'sidekey';

export function writeDiscoveryResponse(push: {
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly EncodedSecret[];
}): Uint8Array {
  return DiscoveryResponse.encode({
    versionInfo: push.versionInfo,
    resources: push.resources.map(({ bytes }) => ({ typeUrl: SECRET_TYPE_URL, value: bytes as Buffer })),
    canary: false,
    typeUrl: SECRET_TYPE_URL,
    nonce: push.nonce,
    controlPlane: { identifier: CONTROL_PLANE },
  }).finish();
}
