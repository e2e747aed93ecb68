/** Whether TLS sessions outlive a revocation. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { type Greeted, greet } from './greeting.ts';
import { BAD_SERVER } from './leaves.ts';
import { REVOKED } from './pki.ts';
import type { ContextName, Stage, TicketKeys } from './stage.ts';
import type { Row, SessionListener } from './tables.ts';

type Validator = 'spiffe' | 'plain';

const SESSION_ID = 'a TLS 1.2 session ID';
const CLIENTS = [
  { kind: 'a TLS 1.3 ticket', options: { minVersion: 'TLSv1.3' } },
  { kind: 'a TLS 1.2 ticket', options: { maxVersion: 'TLSv1.2' } },
  { kind: SESSION_ID, options: { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } },
] as const;

/** Clients with the revoked leaf get a session after the first push, and try to resume it after each row's. */
export async function followSessions(
  t: TestContext,
  stage: Stage,
  first: string,
  rows: readonly Row<SessionListener>[],
): Promise<void> {
  await pushToSessions(stage, first);
  const { leaves, serverRoot } = stage.pki;
  const clients = await Promise.all(
    (Object.keys(rows[0]!.cells) as SessionListener[]).flatMap((listener) =>
      CLIENTS.map(async ({ kind, options }) => {
        const [validator, keys] = listener.split(', ') as [Validator, TicketKeys];
        const port = stage.port(`${validator}, sessions`, keys);
        const context = tls.createSecureContext({ ...leaves[REVOKED], ca: serverRoot, ...options });
        const { session } = (await greet(port, context)) as Greeted;
        assert.ok(session, `${listener} gives ${kind}`);
        // Ticket keys do not matter to a session ID: Envoy has the session in memory.
        const column: SessionListener = kind === SESSION_ID ? `${validator}, none` : listener;
        return {
          name: `${listener}, ${kind}`,
          column,
          resume: () => greet(port, context, session),
        };
      }),
    ),
  );
  for (const { push, cells } of rows) {
    await t.test(`after a push of ${push}`, async () => {
      await pushToSessions(stage, push);
      const seen = clients.map(async ({ name, resume }) => [name, outcomeOf(await resume())]);
      const expected = clients.map(({ name, column }) => [name, cells[column]]);
      assert.deepEqual(await Promise.all(seen), expected);
    });
  }
}

/** `resumed`, `accepted` after a handshake with a certificate, or `refused`. */
export function outcomeOf(result: Awaited<ReturnType<typeof greet>>): string {
  if (!('isResumed' in result)) return 'refused';
  return result.isResumed ? 'resumed' : 'accepted';
}

/** Pushes what a row of the tables of sessions names. */
export async function pushToSessions(stage: Stage, what: string): Promise<void> {
  if (what === 'nothing') return;
  if (what === 'another server certificate') return stage.pushServer();
  if (what === 'other ticket keys') return stage.pushTicketKeys();
  await Promise.all([stage.pushBundle('spiffe, sessions', what), stage.pushBundle('plain, sessions', what)]);
}

/** Envoy as a client resumes its session with a server until any push, and then refuses the server if it is revoked. */
export async function endsSessions(stage: Stage, validator: Validator): Promise<void> {
  const context = `${validator}, sessions` as const;
  await stage.pushBundle(context, 'R');
  assert.deepEqual(await resumptions(stage, context), [false, true]);
  await stage.pushBundle(context, 'R + CRL(R) + empty CRL(I)');
  assert.deepEqual(await resumptions(stage, context), [false, true]);
  await stage.pushBundle(context, 'R + CRL(R) + CRL(I)');
  assert.equal(await stage.asClient(context, REVOKED), BAD_SERVER);
}

/** Whether two connections in turn resume a session. */
async function resumptions(stage: Stage, context: ContextName): Promise<boolean[]> {
  const first = await stage.pass(context, REVOKED);
  return [first.isResumed, (await stage.pass(context, REVOKED)).isResumed];
}
