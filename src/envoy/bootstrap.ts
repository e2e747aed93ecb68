/** Writes a bootstrap for Envoy (v3, all static) that people can read and change. */

import { pathOf } from '../spiffe/index.ts';
import { appCluster, pipeCluster, upstreamCluster } from './clusters.ts';
import { inboundListener, outboundListener, socketAddress } from './listeners.ts';
import type { Address, AllowedPeer, BootstrapPlan } from './plan.ts';
import { SdsConfig } from './tls.ts';
import { nest, scalar } from './yaml-text.ts';

/**
 * The bootstrap as YAML. Envoy 1.36 and later take it without a warning.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto
 */
export function bootstrapYaml(plan: BootstrapPlan): string {
  const { spiffeId, socket, admin, inbound, upstreams } = plan;
  const sds = new SdsConfig();
  const node = scalar(pathOf(spiffeId).slice(1));
  const listeners = [
    ...(inbound === undefined ? [] : [inboundListener(inbound, plan, sds)]),
    ...upstreams.map((upstream) => outboundListener(upstream, plan)),
  ];
  const clusters = [
    pipeCluster(socket),
    ...(inbound === undefined ? [] : [appCluster(inbound.to)]),
    ...upstreams.map((upstream, at) => upstreamCluster(upstream, plan, sds, at === 0)),
  ];
  return `${summary(plan)}

# Envoy sends no SDS request without both. If several Envoys use this file, give each another --service-node.
node: { id: ${node}, cluster: ${node} }

# Any program that can connect here can stop Envoy. Each Envoy of a host needs a port of its own here (--admin), and
# envoy --disable-hot-restart; else: "unable to bind domain socket" or "cannot open shared memory region".
admin:
  address: ${socketAddress(admin)}

static_resources:
  listeners:
${items(listeners)}

  clusters:
${items(clusters)}
`;
}

function summary({ spiffeId, tcp, inbound, upstreams }: BootstrapPlan): string {
  const what = tcp ? 'TCP' : 'HTTP';
  const comment = [`Envoy as ${spiffeId}, for ${what}, with identities from Sidekey.`];
  if (inbound !== undefined) {
    comment.push(
      `In:  ${show(inbound.listen)}, mTLS from ${inbound.allow.map(showPeer).join(', ')} -> ${show(inbound.to)}`,
    );
  }
  for (const { local, at, spiffeId: server } of upstreams) {
    comment.push(`Out: ${show(local)} -> ${show(at)}, mTLS to ${server}`);
  }
  return comment.map((line) => `# ${line}`).join('\n');
}

/** Items of a list, indented by two; a comment at the start of an item is placed above its dash. */
function items(texts: readonly string[]): string {
  return texts
    .map((text) => {
      const [, comment = '', rest = ''] = /^((?:#[^\n]*\n)*)(.*)$/s.exec(text)!;
      return `  ${nest(2, `${comment}- ${nest(2, rest)}`)}`;
    })
    .join('\n\n');
}

function show({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function showPeer(peer: AllowedPeer): string {
  return 'spiffeId' in peer ? peer.spiffeId : `any workload of ${peer.trustDomain}`;
}
