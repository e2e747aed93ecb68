/**
 * The gRPC methods that serve secrets: those of the Secret Discovery Service, and the aggregated service's, which here
 * serves secrets only.
 *
 * @see envoy/service/secret/v3/sds.proto, envoy/service/discovery/v3/ads.proto
 */

import { Ledger, PushQueue } from '../delivery/index.ts';
import { Decisions } from '../identity/index.ts';
import { Turns } from '../limits/index.ts';
import { Counters } from '../telemetry/index.ts';
import type { Method } from '../wire/index.ts';
import { DELTA } from './delta.ts';
import { fetchSecrets } from './fetch.ts';
import { SOTW } from './sotw.ts';
import { SecretStream } from './stream.ts';
import type { StreamKind, StreamParts } from './stream-context.ts';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

export type ServiceSettings = Omit<StreamParts, 'queue' | 'turns' | 'counters' | 'ledger' | 'decisions'> &
  Partial<Pick<StreamParts, 'queue' | 'counters' | 'ledger' | 'decisions' | 'turns'>>;

export function secretDiscoveryService(settings: ServiceSettings): Method[] {
  const parts: StreamParts = {
    turns: new Turns(),
    counters: new Counters(),
    ledger: new Ledger(settings.log),
    decisions: new Decisions({ ...settings, store: undefined }),
    queue: new PushQueue(),
    ...settings,
  };
  const stream = (path: string, kind: StreamKind): Method => ({
    path,
    kind: 'bidirectional',
    borrowsMessages: true,
    open: (opened) => new SecretStream(opened, kind, parts),
  });
  return [
    stream(`${SDS}/StreamSecrets`, { variant: SOTW, service: 'sds' }),
    stream(`${SDS}/DeltaSecrets`, { variant: DELTA, service: 'sds' }),
    stream(`${ADS}/StreamAggregatedResources`, { variant: SOTW, service: 'ads' }),
    stream(`${ADS}/DeltaAggregatedResources`, { variant: DELTA, service: 'ads' }),
    { path: `${SDS}/FetchSecrets`, kind: 'unary', call: (call, request) => fetchSecrets(call, request, parts) },
  ];
}
