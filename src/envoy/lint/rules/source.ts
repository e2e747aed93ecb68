/** Rules for the `sds_config` of secrets, and for Envoy's node. */

import { scalar } from '../../yaml-text.ts';
import type { Edit } from '../edit.ts';
import { isPipe, type Model, type SdsSource } from '../model.ts';
import { mapsIn, type Spot } from '../spot.ts';
import { type Draft, isOn, type Rule, setField } from './rule.ts';

export const sourceRules: Rule = (model) => [
  ...nodeRule(model),
  ...adsRules(model),
  ...model.sources.flatMap((source) => [...apiType(source), ...versions(source), ...grpcService(source, model)]),
  ...resourceVersions(model),
];

function nodeRule({ root, secrets }: Model): Draft[] {
  if (secrets.length === 0) {
    const problem = 'no secret is requested by gRPC';
    const why = 'this Envoy gets no identity from Sidekey';
    const fix = 'see `sidekey envoy bootstrap --help`';
    return [{ rule: 'no-sds', severity: 'warning', at: root, problem, why, fix }];
  }
  const node = root.get('node');
  return ['id', 'cluster'].flatMap((field): Draft[] => {
    if (node?.get(field)?.text !== undefined) return [];
    return [
      {
        rule: 'node',
        severity: 'error',
        at: node ?? root,
        problem: `node.${field} is missing`,
        why: `without it Envoy requests no secrets, and does not start unless it is run with --service-${field === 'id' ? 'node' : field}`,
        fix: 'node: { id: web-1, cluster: web }',
      },
    ];
  });
}

function adsRules({ root, secrets }: Model): Draft[] {
  const asked = secrets.flatMap(({ source }) => (source.kind === 'ads' ? [source.at] : []));
  const crashing = new Set<object | undefined>();
  for (const cluster of root.get('static_resources', 'clusters')?.each ?? []) {
    for (const map of mapsIn(cluster)) crashing.add(map.get('sds_config', 'ads')?.identity);
  }
  return asked.flatMap((at): Draft[] => {
    const drafts: Draft[] = [];
    if (crashing.has(at.identity)) {
      drafts.push({
        rule: 'ads-static-cluster',
        severity: 'error',
        at,
        problem: 'a static cluster gets a secret by ADS',
        why: 'Envoy crashes at start, because it makes the cluster before the ADS stream',
        fix: 'sds_config: { resource_api_version: V3, api_config_source: … } with the cluster of Sidekey',
      });
    }
    if (root.get('dynamic_resources', 'ads_config') === undefined) {
      drafts.push({
        rule: 'ads-config',
        severity: 'error',
        at,
        problem: 'a secret is requested by ADS, but there is no dynamic_resources.ads_config',
        why: 'Envoy has no server to ask for it',
        fix: 'sds_config: { resource_api_version: V3, api_config_source: … } with the cluster of Sidekey',
      });
    }
    return drafts;
  });
}

type ApiSource = Extract<SdsSource, { kind: 'api' }>;

function apiType({ at }: ApiSource): Draft[] {
  const type = at.get('api_type');
  if (type?.text === 'GRPC' || type?.text === 'DELTA_GRPC') return [];
  const problem = type === undefined ? 'api_type is missing' : `api_type is ${type.text}`;
  const why = 'Sidekey serves secrets only by gRPC';
  return [
    {
      rule: 'api-type',
      severity: 'error',
      at: type ?? at,
      problem,
      why,
      fix: 'api_type: GRPC',
      edit: setField(at, 'api_type', 'GRPC'),
    },
  ];
}

function versions({ at }: ApiSource): Draft[] {
  const why = 'Envoy and Sidekey support only v3: Envoy does not start';
  return wrongVersion(at.get('transport_api_version'), { field: 'transport_api_version', severity: 'error', why });
}

function resourceVersions({ secrets }: Model): Draft[] {
  const why = 'secrets of v2 do not exist; Envoy up to 1.40 ignores the field';
  return secrets.flatMap(({ at }) => {
    const version = (at.get('sds_config') ?? at.get('config_source'))?.get('resource_api_version');
    return wrongVersion(version, { field: 'resource_api_version', severity: 'warning', why });
  });
}

/** A missing value and AUTO mean V3 since Envoy 1.31. */
function wrongVersion(
  version: Spot | undefined,
  { field, ...verdict }: Pick<Draft, 'severity' | 'why'> & { readonly field: string },
): Draft[] {
  if (version === undefined || version.text === 'V3' || version.text === 'AUTO') return [];
  const problem = `${field} is ${version.text}`;
  return [{ rule: 'api-version', ...verdict, at: version, problem, fix: `${field}: V3`, edit: version.replaced('V3') }];
}

function grpcService({ at, cluster }: ApiSource, { clusters }: Model): Draft[] {
  const drafts: Draft[] = [];
  const services = at.get('grpc_services');
  const service = services?.each[0];
  if (service === undefined) {
    const problem = services === undefined ? 'grpc_services is missing' : 'grpc_services is empty';
    const why = 'Envoy has no server to ask';
    const pipes = [...clusters].flatMap(([name, spot]) => (isPipe(spot) ? [name] : []));
    const only = pipes.length === 1 ? pipes[0] : undefined;
    const member = `grpc_services: [{ envoy_grpc: { cluster_name: ${scalar(only ?? 'CLUSTER')} } }]`;
    const fix = only === undefined ? `${member}, with the cluster of Sidekey's pipe` : member;
    const edit = only === undefined || services !== undefined ? undefined : at.with(member);
    drafts.push({ rule: 'sds-cluster', severity: 'error', at: services ?? at, problem, why, fix, edit });
  } else if (cluster !== undefined && service.get('envoy_grpc', 'retry_policy', 'retry_back_off') === undefined) {
    drafts.push({
      rule: 'retry-back-off',
      severity: 'warning',
      at: service.get('envoy_grpc')!,
      problem: 'there is no retry_back_off',
      why: 'after a restart of Sidekey, each stream of Envoy may take up to 30 seconds to reconnect',
      fix: `retry_policy: { ${BACK_OFF} }`,
      edit: withBackOff(service.get('envoy_grpc')!),
    });
  }
  if (!isOn(at.get('set_node_on_first_message_only'))) {
    drafts.push({
      rule: 'node-once',
      severity: 'info',
      at,
      problem: 'set_node_on_first_message_only is not set',
      why: 'Envoy sends its whole node, about 60 kB, with each request and each acknowledgement',
      fix: 'set_node_on_first_message_only: true',
      edit: setField(at, 'set_node_on_first_message_only', 'true'),
    });
  }
  return drafts;
}

const BACK_OFF = 'retry_back_off: { base_interval: 0.1s, max_interval: 1s }';

function withBackOff(service: Spot): Edit | undefined {
  const policy = service.get('retry_policy');
  return policy === undefined ? service.with(`retry_policy: { ${BACK_OFF} }`) : policy.with(BACK_OFF);
}
