/**
 * Incremental variant: each request has the names added and dropped since the last one, each response the changed
 * secrets and the removed names.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol sections "Incremental xDS", "Subscribing to
 *   Resources", "Unsubscribing from Resources"
 */

import { DeltaDiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import {
  checkCount,
  checkTypeUrl,
  type DeltaDiscoveryRequest,
  readDeltaDiscoveryRequest,
  SECRET_TYPE_URL,
} from './request.ts';
import { versionAndNonce } from './response.ts';
import { CONTROL_PLANE, type EncodedSecret } from './secrets.ts';
import { bytesOfNames, type Push, type RequestOutcome, type Subscription } from './subscription.ts';
import type { Variant } from './variant.ts';

export const DELTA: Variant = {
  name: 'delta',
  saysRemoved: true,
  take(subscription, bytes, { typeRequired, now, admit }) {
    const request = readDeltaDiscoveryRequest(bytes, !subscription.begun, subscription.nonce);
    checkTypeUrl(request.typeUrl, typeRequired);
    checkCount(subscription.size + request.subscribe.length, 'the stream, with resource_names_subscribe,');
    admit(subscription.bytes + bytesOfNames(request.subscribe));
    const outcome = takeRequest(subscription, request, now);
    return { outcome, node: request.node, rejection: request.errorDetail?.message };
  },
  write: writeDeltaDiscoveryResponse,
};

/**
 * Applies a request. No request is stale: it changes the requested names whatever its nonce, and it is an ACK or NACK
 * if the nonce is the last response's. In a first request, no names mean the wildcard, and the client may say which
 * versions it has.
 */
export function takeRequest(
  subscription: Subscription,
  request: Pick<
    DeltaDiscoveryRequest,
    'subscribe' | 'unsubscribe' | 'initialVersions' | 'responseNonce' | 'errorDetail'
  >,
  now: number,
): RequestOutcome {
  const first = subscription.begin();
  const { errorDetail, responseNonce } = request;
  const answers = !first && responseNonce !== '' && responseNonce === subscription.nonce;
  const answered = answers ? subscription.answer(errorDetail?.message, now) : undefined;
  const { added } = subscription.subscribe(first && request.subscribe.length === 0 ? ['*'] : request.subscribe);
  const { removed } = subscription.unsubscribe(request.unsubscribe);
  if (first) subscription.claim(request.initialVersions, now);
  const change = { added: added.filter((name) => subscription.get(name) !== undefined), removed };
  if (answered === undefined) return { kind: 'request', ...change };
  return { kind: errorDetail === undefined ? 'ack' : 'nack', answered, ...change };
}

const COMMON = DeltaDiscoveryResponse.encode(
  DeltaDiscoveryResponse.fromPartial({ typeUrl: SECRET_TYPE_URL, controlPlane: { identifier: CONTROL_PLANE } }),
).finish();

function writeDeltaDiscoveryResponse({ versionInfo, nonce, resources, removed }: Push<EncodedSecret>): Uint8Array[] {
  const parts: Uint8Array[] = [versionAndNonce(versionInfo, nonce), COMMON];
  for (const { delta } of resources) parts.push(delta);
  if (removed.length > 0) {
    const gone = DeltaDiscoveryResponse.fromPartial({ removedResources: [...removed] });
    parts.push(DeltaDiscoveryResponse.encode(gone).finish());
  }
  return parts;
}
