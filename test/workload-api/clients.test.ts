/** Real clients of the Workload API through the life of a server: each is a program of its own, with its own library. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import { makePlace, type Place, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { CLIENTS, prepared, type RealClient } from './clients/clients.ts';

const OWN = `spiffe://${TRUST_DOMAIN}`;
const WEB = `${OWN}/web`;
const OTHER = 'spiffe://other.example';

interface Update {
  readonly ids?: readonly string[];
  readonly serial?: string;
  readonly domains?: readonly string[];
  readonly roots?: number;
  readonly error?: string;
}

interface Watching {
  /** The next update like this; fails with all updates when the client ends. */
  next(what: string, isIt: (update: Update) => boolean): Promise<Update>;
}

function watch(t: TestContext, client: RealClient, [program, ...args]: readonly string[], { socket }: Place): Watching {
  const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: client.endpoint(socket) };
  const child = spawn(program!, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
  // It may have a process of its own.
  t.after(() => child.kill('SIGTERM'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async next(what, isIt) {
      for (const seen: string[] = []; ; ) {
        const { value, done } = await lines.next();
        assert.ok(done !== true, `the client ended, and waited for ${what}; it had ${seen.join(' ')}`);
        seen.push(value);
        const update = JSON.parse(value) as Update;
        if (isIt(update)) return update;
      }
    },
  };
}

async function create(server: Served): Promise<string> {
  const { status, body } = await server.request('POST', '/v1/entries', {
    spiffe_id: WEB,
    selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
    federates_with: ['other.example'],
  });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

async function live(t: TestContext, client: RealClient, command: readonly string[], place: Place): Promise<void> {
  const flags = ['--root-publish-time', '0s'];
  let server = await serve(t, { place, flags });
  const first = await create(server);
  const watching = watch(t, client, command, place);
  const begun = await watching.next('the first SVID', ({ ids }) => ids !== undefined);
  assert.deepEqual([begun.ids, begun.domains, begun.roots], [[WEB], [OWN], 1]);

  const { key } = await makeCertificate({ name: 'other', uris: [OTHER] });
  await server.request('PUT', '/v1/bundles/other.example', { keys: [key] });
  await watching.next('the federated bundle', ({ domains }) => domains?.includes(OTHER) === true);
  await server.request('DELETE', '/v1/bundles/other.example');
  await watching.next('its end', ({ domains }) => domains?.length === 1);

  const rotated = await server.request('POST', '/v1/ca/rotate', { role: 'root' });
  assert.equal(rotated.status, 200, JSON.stringify(rotated.body));
  await watching.next('the next root', ({ roots }) => roots === 2);

  await server.stop();
  server = await serve(t, { place, flags });
  await watching.next('an SVID of the next process', ({ serial }) => serial !== undefined && serial !== begun.serial);

  assert.equal((await server.request('DELETE', `/v1/entries/${first}`)).status, 204);
  // Not every library tells its program.
  await server.loggedLike(/^caller refused: no identity issued/);
  await create(server);
  const again = await watching.next('its identity again', ({ ids }) => ids !== undefined);
  assert.deepEqual(again.ids, [WEB]);
}

describe('real clients of the Workload API', { timeout: 120_000, concurrency: true }, () => {
  for (const client of CLIENTS) {
    it(`${client.name}: start, federated bundle, rotation, restart, deletion and return of the entry`, async (t) => {
      const place = makePlace(t);
      const found = await prepared(client, place.socket);
      if ('skip' in found) t.skip(found.skip);
      else await live(t, client, found.command, place);
    });
  }
});
