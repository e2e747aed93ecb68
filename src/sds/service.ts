/**
 * The gRPC methods that serve secrets: those of the Secret Discovery Service, and the aggregated service's, which here
 * serves secrets only.
 *
 * @see envoy/service/secret/v3/sds.proto, envoy/service/discovery/v3/ads.proto
 */

import { DeliveryCounts, type FetchResult, Ledger, PushQueue } from '../delivery/index.ts';
import { Decisions } from '../identity/index.ts';
import { LimitError, Turns } from '../limits/index.ts';
import { Counters } from '../telemetry/index.ts';
import { type Method, Status, StatusError } from '../wire/index.ts';
import { DELTA } from './delta.ts';
import { fetchSecrets } from './fetch.ts';
import { SOTW } from './sotw.ts';
import { SecretStream } from './stream.ts';
import type { StreamKind, StreamParts } from './stream-context.ts';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

export type ServiceSettings = Omit<StreamParts, 'queue' | 'turns' | 'counters' | 'counts' | 'ledger' | 'decisions'> &
  Partial<Pick<StreamParts, 'queue' | 'turns' | 'counters' | 'counts' | 'ledger' | 'decisions'>>;

export function secretDiscoveryService(settings: ServiceSettings): Method[] {
  const parts: StreamParts = {
    turns: new Turns(),
    queue: new PushQueue(),
    counters: new Counters(),
    counts: new DeliveryCounts(),
    ledger: new Ledger(settings.log),
    decisions: new Decisions({ ...settings, store: undefined }),
    ...settings,
  };
  const stream = (path: string, kind: Omit<StreamKind, 'counts'>): Method => {
    const counted = { ...kind, counts: parts.counts.of({ service: kind.service, variant: kind.variant.name }) };
    return {
      path,
      kind: 'bidirectional',
      borrowsMessages: true,
      open: (opened) => new SecretStream(opened, counted, parts),
    };
  };
  return [
    stream(`${SDS}/StreamSecrets`, { variant: SOTW, service: 'sds' }),
    stream(`${SDS}/DeltaSecrets`, { variant: DELTA, service: 'sds' }),
    stream(`${ADS}/StreamAggregatedResources`, { variant: SOTW, service: 'ads' }),
    stream(`${ADS}/DeltaAggregatedResources`, { variant: DELTA, service: 'ads' }),
    {
      path: `${SDS}/FetchSecrets`,
      kind: 'unary',
      call: (call, request) => counted(fetchSecrets(call, request, parts), parts.counts),
    },
  ];
}

/** Counts the result of a fetch. */
async function counted<T>(fetched: Promise<T>, { fetches }: DeliveryCounts): Promise<T> {
  try {
    const answer = await fetched;
    fetches.add('found');
    return answer;
  } catch (error) {
    fetches.add(resultOf(error));
    throw error;
  }
}

function resultOf(error: unknown): FetchResult {
  if (error instanceof LimitError) return 'refused';
  const status = error instanceof StatusError ? error.status : undefined;
  if (status === Status.NOT_FOUND) return 'nothing';
  return status === Status.INVALID_ARGUMENT ? 'refused' : 'failed';
}
