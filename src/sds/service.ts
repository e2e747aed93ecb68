/** The Secret Discovery Service's methods. @see envoy/service/secret/v3/sds.proto */

import { Counters } from '../telemetry/counters.ts';
import type { Method } from '../wire/types.ts';
import { fetchSecrets } from './fetch.ts';
import { PushQueue } from './push-queue.ts';
import { SecretStream, type StreamParts } from './stream.ts';

const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';

export function secretDiscoveryService(
  settings: Omit<StreamParts, 'queue' | 'counters'> & { readonly counters?: Counters },
): Method[] {
  const parts: StreamParts = { counters: new Counters(), ...settings, queue: new PushQueue() };
  return [
    { path: `${SERVICE}/StreamSecrets`, kind: 'stream', open: (stream) => new SecretStream(stream, parts) },
    { path: `${SERVICE}/FetchSecrets`, kind: 'unary', call: (peer, request) => fetchSecrets(peer, request, parts) },
  ];
}
