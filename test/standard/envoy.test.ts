/** A real Envoy that checks the health of its secrets' cluster. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { ENVOYS } from '../envoy/support.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;

for (const [what, found] of ENVOYS) {
  describe(`an Envoy with grpc_health_check, ${what}`, { skip: found.skip }, () => {
    test('gets its secrets from a cluster that is healthy by each service', async (t) => {
      assert.ok(found.skip === false);
      const sidekey = await serve(t);
      const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
      assert.equal((await sidekey.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
      for (const service of ['', 'envoy.service.secret.v3.SecretDiscoveryService']) {
        const [port] = await freePorts(1);
        const services = [{ envoy_grpc: { cluster_name: 'sidekey' } }];
        const api = { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: services };
        const source = { config: { resource_api_version: 'V3', api_config_source: api } };
        const tls = { tls_certificate_sds_secret_configs: [secretConfig(WEB, source)] };
        const check = {
          timeout: '1s',
          interval: '0.2s',
          unhealthy_threshold: 1,
          healthy_threshold: 1,
          grpc_health_check: { service_name: service },
        };
        const cluster = {
          ...pipeCluster('sidekey', sidekey.socket),
          health_checks: [check],
          // Without it Envoy sends to unhealthy endpoints too.
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
        };
        const envoy = await startEnvoy(t, found.envoy.path, {
          node: { id: 'web', cluster: 'web' },
          static_resources: { listeners: [tlsListener(port!, { common_tls_context: tls })], clusters: [cluster] },
        });
        await envoy.live();
        await wait('checks that succeed', {
          look: () => envoy.stat('cluster.sidekey.health_check.success'),
          until: (count) => count >= 3,
        });
        assert.equal(await envoy.stat('cluster.sidekey.health_check.failure'), 0);
        assert.equal(await envoy.stat('cluster.sidekey.membership_healthy'), 1);
        assert.equal(
          await envoy.stat(`listener.127.0.0.1_${port}.server_ssl_socket_factory.ssl_context_update_by_sds`),
          1,
        );
        await envoy.stop();
      }
    });
  });
}
