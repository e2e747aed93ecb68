/**
 * State-of-the-world variant: each request has all requested names, each response some secrets. It cannot express that
 * a secret was removed.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol sections "ACK", "NACK", "Resource updates"
 */

import { DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { checkTypeUrl, type DiscoveryRequest, readDiscoveryRequest, SECRET_TYPE_URL } from './request.ts';
import { versionAndNonce } from './response.ts';
import { CONTROL_PLANE, type EncodedSecret } from './secrets.ts';
import { bytesOfNames, type Push, type RequestOutcome, type Subscription } from './subscription.ts';
import type { Variant } from './variant.ts';

export const SOTW: Variant = {
  name: 'sotw',
  saysRemoved: false,
  take(subscription, bytes, { typeRequired, now, admit }) {
    const request = readDiscoveryRequest(bytes, !subscription.begun, subscription.nonce);
    checkTypeUrl(request.typeUrl, typeRequired);
    admit(bytesOfNames(request.resourceNames));
    const outcome = takeRequest(subscription, request, now);
    return { outcome, node: request.node, rejection: request.errorDetail?.message };
  },
  write: writeDiscoveryResponse,
};

/**
 * Applies a request. In a stream's first request nonce and version are ignored, since they come from an earlier stream.
 * A later request without the last response's nonce is stale and ignored with its names.
 */
export function takeRequest(
  subscription: Subscription,
  request: Pick<DiscoveryRequest, 'resourceNames' | 'responseNonce' | 'errorDetail'>,
  now: number,
): RequestOutcome {
  const first = subscription.begin();
  if (!first && request.responseNonce !== subscription.nonce) return { kind: 'stale' };
  const answered = subscription.answer(request.errorDetail?.message, now);
  const change = subscription.replace(request.resourceNames, first);
  if (answered === undefined) return { kind: 'request', ...change };
  return { kind: request.errorDetail === undefined ? 'ack' : 'nack', answered, ...change };
}

const COMMON = DiscoveryResponse.encode(
  DiscoveryResponse.fromPartial({ typeUrl: SECRET_TYPE_URL, controlPlane: { identifier: CONTROL_PLANE } }),
).finish();

export function writeDiscoveryResponse({ versionInfo, nonce, resources }: Push<EncodedSecret>): Uint8Array[] {
  const parts: Uint8Array[] = [versionAndNonce(versionInfo, nonce), COMMON];
  for (const { sotw } of resources) parts.push(sotw);
  return parts;
}
