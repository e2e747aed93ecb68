/** The ways by which an Envoy asks for secrets. */

import type { SecretSource } from '../support/running-envoy.ts';

export interface Variant extends SecretSource {
  readonly name: string;
  /** What Sidekey calls the protocol in its log. */
  readonly protocol: 'sotw' | 'delta';
}

/** Back within moments after a cut, where Envoy's own default would wait up to 30 s. */
const GRPC = {
  envoy_grpc: {
    cluster_name: 'sidekey',
    retry_policy: { retry_back_off: { base_interval: '0.1s', max_interval: '0.5s' } },
  },
};

function source(apiType: string) {
  return { api_type: apiType, transport_api_version: 'V3', grpc_services: [GRPC] };
}

function own(name: string, protocol: Variant['protocol'], apiType: string): Variant {
  const config = { resource_api_version: 'V3', api_config_source: source(apiType) };
  return { name, protocol, config, bootstrap: {} };
}

function aggregated(name: string, protocol: Variant['protocol'], apiType: string): Variant {
  const bootstrap = { dynamic_resources: { ads_config: source(apiType) } };
  return { name, protocol, config: { resource_api_version: 'V3', ads: {} }, bootstrap };
}

export const VARIANTS: readonly Variant[] = [
  own('SotW', 'sotw', 'GRPC'),
  own('delta', 'delta', 'DELTA_GRPC'),
  aggregated('ADS SotW', 'sotw', 'GRPC'),
  aggregated('ADS delta', 'delta', 'DELTA_GRPC'),
];
