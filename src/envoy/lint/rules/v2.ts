/** Rules for remains of Envoy's v2 API, which Envoy 1.18 removed. */

import { mapsIn } from '../spot.ts';
import type { Draft, Rule } from './rule.ts';

const WHY = 'it is part of the v2 API, which Envoy removed: Envoy does not start with it';

/** Fields that exist only in v2, with their replacement in v3. */
const FIELDS: Readonly<Record<string, string>> = {
  tls_context:
    'transport_socket: { name: envoy.transport_sockets.tls, typed_config: … }, with DownstreamTlsContext or UpstreamTlsContext as its "@type"',
  verify_subject_alt_name: 'match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: spiffe://… } }]',
};

export const v2Rules: Rule = ({ root, clusters }) => {
  const drafts: Draft[] = [];
  const found = (at: Draft['at'], problem: string, fix: string) =>
    drafts.push({ rule: 'v2', severity: 'error', at, problem, why: WHY, fix });
  for (const map of mapsIn(root)) {
    for (const { field, spot } of map.members) {
      const instead = FIELDS[field];
      if (instead !== undefined) found(spot, `${field} does not exist in v3`, instead);
    }
    const type = map.get('@type');
    if (/\.v2(alpha\d*)?\./.test(type?.text ?? '')) {
      found(
        type!,
        `the type ${type!.text}`,
        'the type of the same name in v3: "@type": type.googleapis.com/envoy.….v3.…',
      );
    }
    const config = map.get('config');
    if (config?.isMap === true && /^envoy\./.test(map.get('name')?.text ?? '')) {
      found(
        config,
        'extensions have no field config',
        'use typed_config, with an "@type", and the full name of the extension',
      );
    }
  }
  for (const cluster of clusters.values()) {
    const hosts = cluster.get('hosts');
    if (hosts !== undefined) found(hosts, 'clusters have no field hosts', LOAD_ASSIGNMENT);
  }
  return drafts;
};

const LOAD_ASSIGNMENT =
  'load_assignment: { cluster_name: NAME, endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: … } } } }] }] }';
