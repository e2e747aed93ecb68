/** Agents on other hosts: until their Envoys have an entry, or refuse a revoked certificate; a thousand of them; kills. */

import { X509Certificate } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { give, runAgent, startAgent, startFleet } from '../../test/support/fleet.ts';
import { CLIENT, OTHER, startMeshEnvoy, WEB } from '../../test/support/mesh.ts';
import { fetchCredentials, mtlsRequest } from '../../test/support/mtls-client.ts';
import { type Served, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { JoinOptions, SvidOptions } from '../load/agents-program.ts';
import { startEnvoy } from '../load/envoy.ts';
import { Events } from '../load/events.ts';
import { settledMemory } from '../load/memory.ts';
import { Program, sharedNow } from '../load/program.ts';
import { accepts } from './revocation.ts';

const TIMES = 100;
const AGENTS = 1_000;
const ENTRIES = 100;
const CHANGES = 7;
const ALIAS = `spiffe://${TRUST_DOMAIN}/host/fleet`;
/** An agent gets 500 SVIDs a second, so ten ask at once. */
const ASKING = 10;
const BATCH = 500;
const KILLS = Number(process.env.BENCH_KILLS || 100);

/** Until an Envoy that waits at an agent has the secret of a new entry. */
export async function fleetEntry(cleanup: Cleanup): Promise<Figure[]> {
  const fleet = await startFleet(cleanup);
  const agent = await startAgent(cleanup, fleet, 'a');
  const names = Array.from({ length: TIMES }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);
  const { version, stats } = await startEnvoy(cleanup, agent, names);
  const events = await Events.open(cleanup, agent.adminSocket);
  while (agent.log.filter(({ msg }) => msg === 'name held').length < TIMES) await nextTurn();
  const sample: number[] = [];
  for (const name of names) {
    const acked = events.next('acked');
    const begun = performance.now();
    await give(fleet.server, name, agent.hostId);
    sample.push((await acked) - begun);
  }
  for (const name of names) await stats.until(name, 'update_success', 1);
  const how = `${TIMES} entries made on the server one after the other, a stream of one Envoy ${version} waiting for each at an agent of this machine; until the event "acked" of the agent's GET /v1/events has come`;
  const compared = { reach: 12, 'SPIRE 1.16-dev': '5,000 to 18,000' };
  return [
    { name: 'fleet-entry-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: compared, how },
    { name: 'fleet-entry-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: { reach: 60 }, how },
  ];
}

/** From a revocation on the server until an Envoy at an agent refuses the certificate. */
export async function fleetRevocation(cleanup: Cleanup): Promise<Figure[]> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  const fleet = await startFleet(cleanup);
  const [here, there] = [await startAgent(cleanup, fleet, 'a'), await startAgent(cleanup, fleet, 'b')];
  for (const id of [WEB, OTHER]) await give(fleet.server, id, here.hostId);
  await give(fleet.server, CLIENT, there.hostId);
  const { port } = await startMeshEnvoy(cleanup, envoy.path, here.socket);
  const sample: number[] = [];
  let before = '';
  for (let i = 0; i < TIMES; i += 1) {
    let credentials = await fetchCredentials(there.socket, CLIENT);
    // The agent has a new SVID soon after the former one was revoked.
    while (credentials.cert === before) credentials = await fetchCredentials(there.socket, CLIENT);
    before = credentials.cert;
    const { status } = await mtlsRequest(port, credentials);
    if (status !== 200) throw new Error(`status ${status} before the revocation`);
    const serial = new X509Certificate(credentials.cert).serialNumber.toLowerCase();
    const begun = performance.now();
    const revoking = fleet.server.request('POST', '/v1/revocations', { serial, now: true });
    while (await accepts(port, credentials));
    sample.push(performance.now() - begun);
    if ((await revoking).status !== 200) throw new Error('the revocation failed');
  }
  const how = `${TIMES} certificates revoked on the server one after the other, until the first handshake that an Envoy ${envoy.version} at an agent refuses; handshakes follow each other without a pause`;
  return [
    { name: 'fleet-revocation-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: { reach: 20 }, how },
    { name: 'fleet-revocation-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: { reach: 120 }, how },
  ];
}

/** A thousand attached agents: what one costs, how long a change takes, and SVIDs for their keys. */
export async function fleetAgents(cleanup: Cleanup): Promise<Figure[]> {
  const { server, port } = await startFleet(cleanup);
  const ids: string[] = [];
  for (let i = 0; i < ENTRIES; i += 1) ids.push(await give(server, `spiffe://${TRUST_DOMAIN}/bench/${i}`, ALIAS));
  const tokens: string[] = [];
  while (tokens.length < AGENTS) {
    const { status, body } = await server.request('POST', '/v1/agents/tokens', { spiffe_id: ALIAS, ttl: '1h' });
    if (status !== 201) throw new Error(JSON.stringify(body));
    tokens.push(body.token);
  }
  const before = await settledMemory(server.pid);
  const program = Program.start(cleanup, 'agents-program.ts');
  await program.tell('join', { port, tokens } satisfies JoinOptions);
  const memory = (await settledMemory(server.pid)) - before;
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i += 1) {
    const done = program.tell<number>('changed', { changes: 2 + i });
    const begun = sharedNow();
    await server.request('PATCH', `/v1/entries/${ids[0]}`, { hint: `h${i}` });
    times.push((await done) - begun);
  }
  const rates: number[] = [];
  for (let i = 0; i < CHANGES; i += 1) {
    const asked: SvidOptions = { entryIds: ids, agents: ASKING, batch: BATCH };
    rates.push((ASKING * BATCH * 1000) / (await program.tell<number>('svids', asked)));
    await pause(2_000);
  }
  const all = `${AGENTS} agents with ${ENTRIES} entries each, which they share`;
  return [
    {
      name: 'fleet-agent-memory',
      value: round(memory / AGENTS),
      unit: 'KiB',
      compared_with: { reach: 160 },
      how: `resident memory of the server for one more attached agent: ${all}`,
    },
    {
      name: 'fleet-change',
      value: percentile(times, 0.5),
      unit: 'ms',
      compared_with: { reach: 300 },
      how: `from the PATCH of an entry until the last agent has it: ${all}; median of ${CHANGES}`,
    },
    {
      name: 'fleet-svids',
      value: percentile(rates, 0.5),
      unit: '1/s',
      compared_with: { reach: 'at least 3,000', SPIRE: 'at most 500' },
      how: `${ASKING} agents ask for ${BATCH} SVIDs each at once by BatchNewX509SVID: CSRs read and checked, on record in SQLite; median of ${CHANGES}`,
    },
  ];
}

/** Server and agent are killed in turn while entries are written: the lost writes, and the agents that do not come back. */
export async function fleetKills(cleanup: Cleanup): Promise<Figure[]> {
  const fleet = await startFleet(cleanup);
  let { server } = fleet;
  let agent: Served = await startAgent(cleanup, fleet, 'a');
  const hostId = `spiffe://${TRUST_DOMAIN}/host/a`;
  const made = new Set<string>();
  let lost = 0;
  let gone = 0;
  for (let i = 0; i < KILLS; i += 1) {
    made.add(await give(server, `spiffe://${TRUST_DOMAIN}/kill/${i}`, hostId));
    // Acknowledged by now; a second write may be under way.
    const late = give(server, `spiffe://${TRUST_DOMAIN}/late/${i}`, hostId).then(
      (id) => made.add(id),
      // It was not acknowledged.
      () => undefined,
    );
    if (i % 2 === 0) {
      await server.stop('SIGKILL');
      await late;
      server = await fleet.begin();
    } else {
      await late;
      await agent.stop('SIGKILL');
      agent = runAgent(cleanup, agent, fleet.port);
      await agent.logged('serving');
    }
    const kept = await idsOf(server);
    for (const id of made) if (!kept.has(id)) lost += 1;
    if (!(await has(agent, made))) gone += 1;
  }
  const how = `server and agent ended by SIGKILL ${KILLS} times in turn, with a write under way`;
  return [
    {
      name: 'fleet-kills-lost',
      value: lost,
      unit: 'writes',
      compared_with: { reach: 0, acknowledged: made.size },
      how,
    },
    { name: 'fleet-kills-gone', value: gone, unit: 'agents', compared_with: { reach: 0 }, how },
  ];
}

/** Waits until the agent has all these entries; false if it does not. */
async function has(agent: Served, made: ReadonlySet<string>): Promise<boolean> {
  for (let looks = 0; looks < 400; looks += 1) {
    const ids = await idsOf(agent);
    if ([...made].every((id) => ids.has(id))) return true;
    await pause(50);
  }
  return false;
}

async function idsOf(served: Served): Promise<Set<string>> {
  const { body } = await served.request('GET', '/v1/entries?limit=1000');
  return new Set(body.entries.map(({ id }: { id: string }) => id));
}
