/** What the demo on several hosts shows. */

import { EXAMPLES, type Example } from '../demo/bootstraps.ts';
import { expect, wait } from '../demo/expect.ts';
import { step } from '../demo/report.ts';
import { DOMAIN_ID, type HostsStage, hostId } from './stage.ts';

const SERVICES = ['service-purple', 'service-gray'] as const;

const idOf = (name: Example) => `${DOMAIN_ID}/${name}`;

export async function showHosts(stage: HostsStage, envoy: string): Promise<void> {
  await step('the server is ready', async () => {
    await stage.startServer();
    return { detail: `on ${stage.hosts.server.address}, with a port for agents` };
  });
  await step('three agents join, each with a token', async () => {
    for (const name of EXAMPLES) await stage.startAgent(name);
    return { detail: EXAMPLES.map((name) => `${name} on ${stage.hosts[name].address}`).join(', ') };
  });
  await step('three Envoys wait for their identities', async () => {
    for (const name of EXAMPLES) await stage.startEnvoy(name, envoy);
    return { detail: 'each asks the agent of its host' };
  });
  await step('entries are made, each for one host', async () => {
    const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    const entries = EXAMPLES.map((name) => ({
      ...{ id: name, spiffe_id: idOf(name), parent_id: hostId(name), selectors },
    }));
    await stage.made('POST', '/v1/entries', { entries });
    await Promise.all(EXAMPLES.map((name) => stage.isLive(name)));
    return { detail: 'the Envoys have their SVIDs, and are live' };
  });
  for (const service of SERVICES) {
    await step(`${routeOf(service)} goes from host to host by mTLS`, async () => {
      const { status, headers, body } = await stage.get(`${routeOf(service)}/hello`);
      expect(status === 200, 'status 200', `${status} ${body}`);
      const identity = headers['x-service-identity'];
      expect(identity === idOf(service), `front-envoy to have seen ${idOf(service)}`, identity);
      expect(body.includes(idOf('front-envoy')), `${service} to have seen ${idOf('front-envoy')}`, body);
      return { detail: `${service} saw ${idOf('front-envoy')}, front-envoy saw ${identity}` };
    });
  }
  await step('the server is killed: all goes on', async () => {
    await stage.killServer();
    for (const service of SERVICES) expect((await stage.get(routeOf(service))).status === 200, 'status 200', service);
    return { detail: 'agents serve what they have' };
  });
  await step('the server is back, and tells of a change', async () => {
    await stage.startServer();
    await stage.made('PATCH', '/v1/entries/service-gray', { parent_id: hostId('service-purple') });
    await wait('the entry to move to another host', {
      look: async () => JSON.parse((await stage.ask('service-purple', 'GET', '/v1/entries')).body).entries.length,
      until: (entries) => entries === 2,
    });
    await stage.made('PATCH', '/v1/entries/service-gray', { parent_id: hostId('service-gray') });
    return { detail: 'the entry of service-gray moves to another host, and back' };
  });
}

function routeOf(service: (typeof SERVICES)[number]): string {
  return service.replace('service-', '/service/');
}
