/** An agent renews its SVID on a real server, and stays the agent that it was. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DOMAIN_ID, give, startAgent, startFleet } from '../support/fleet.ts';
import { namesOf, openStream } from '../support/sds-client.ts';
import type { Served } from '../support/serve.ts';

const CLIENT = `${DOMAIN_ID}/client`;

/** Waits for the line, for the n-th time. */
async function logged({ log }: Pick<Served, 'log'>, message: string, times: number): Promise<void> {
  for (let tries = 0; log.filter(({ msg }) => msg === message).length < times; tries += 1) {
    assert.ok(tries < 1200, `not ${times} times within 60 s: ${message}`);
    await sleep(50);
  }
}

test('an agent that joined with a token goes on with its renewed SVID, and the server ends the former stream', async (t) => {
  const fleet = await startFleet(t, ['--agent-ttl', '1m']);
  const agent = await startAgent(t, fleet, 'a');
  const serial = async () => (await fleet.server.request('GET', '/v1/agents')).body.agents[0].serial as string;
  const before = await serial();
  await agent.logged('the agent renewed its SVID');
  await logged(fleet.server, 'an agent has attached', 2);
  assert.notEqual(await serial(), before);

  const stream = openStream(t, agent.socket, CLIENT);
  await give(fleet.server, CLIENT, agent.hostId);
  assert.deepEqual(namesOf(await stream.next()), [CLIENT]);
  // One new stream for one renewal, and no time without a server.
  const attached = fleet.server.log.filter(({ msg }) => msg === 'an agent has attached');
  assert.equal(attached.length, 2);
  assert.deepEqual(
    agent.log.filter(({ msg }) => msg === 'connected to the server').map(({ level }) => level),
    ['info', 'debug'],
  );
});
