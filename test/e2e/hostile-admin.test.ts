/**
 * Hostile clients of the admin API on TCP: limits hold, nothing leaks, and both the pipe and an operator with a token are
 * served meanwhile. bench/figures/hostile-admin.ts measures what callers of the pipe feel of it.
 */

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connectAdmin } from '../../src/client/client.ts';
import { assertDocumented } from '../support/documented.ts';
import type { Reply } from '../support/obey.ts';
import { SdsClient } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
/** The default of --admin-max-connections. */
const MAX_CONNECTIONS = 100;

interface Target {
  readonly server: Served;
  readonly port: number;
  readonly token: string;
}

async function start(t: TestContext): Promise<Target> {
  const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'], logLevel: 'info' });
  const { port } = await server.logged('admin API listens on TCP');
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  assert.equal((await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors })).status, 201);
  const token = readFileSync(path.join(server.dataDir, 'admin.token'), 'utf8').trim();
  return { server, port: Number(port), token };
}

async function makeToken({ server }: Target, role: string): Promise<string> {
  const { status, body } = await server.request('POST', '/v1/tokens', { name: role, role });
  assert.equal(status, 201);
  return body.token;
}

function startAttacker(t: TestContext) {
  const child = fork(path.join(import.meta.dirname, '../support/hostile-admin-program.ts'), { stdio: 'ignore' });
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  t.after(end);
  const tell = async <T>(command: string, options: object = {}): Promise<T> => {
    child.send({ command, options });
    const [{ value, error }] = (await once(child, 'message')) as [Reply];
    assert.equal(error, undefined);
    return value as T;
  };
  return { tell, end };
}

const descriptorsOf = ({ pid }: Served) => readdirSync(`/proc/${pid}/fd`).length;

/** Asks until it is answered: the connection may be among those that are cut before its request is read. */
async function asOperator({ port, token }: Target): Promise<void> {
  const client = connectAdmin({ url: `http://127.0.0.1:${port}`, token });
  for (const end = performance.now() + 20_000; ; ) {
    try {
      await client.listEntries();
      return;
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
  }
}

interface Attack {
  readonly attack: string;
  readonly connections: number;
  /** How many connections it makes before it counts as done. */
  readonly until: number;
  /** The role of its token. */
  readonly role?: string;
}

const ATTACKS: Readonly<Record<string, Attack>> = {
  '10,000 idle connections': { attack: 'idle', connections: 2_000, until: 10_000 },
  'headers that never end': { attack: 'slowHeaders', connections: 300, until: 600 },
  'bodies that never end': { attack: 'slowBodies', connections: 300, until: 600 },
  'large bodies of a token that may not send them': {
    attack: 'largeBodies',
    connections: 20,
    until: 200,
    role: 'read',
  },
  'large bodies of a token that may send them': { attack: 'largeBodies', connections: 20, until: 100, role: 'entries' },
  'guessed tokens': { attack: 'guesses', connections: 50, until: 2_000 },
};

describe('the admin API stands', { timeout: 250_000 }, () => {
  for (const [what, { role, until, ...attack }] of Object.entries(ATTACKS)) {
    test(what, async (t) => {
      const target = await start(t);
      const { server, port } = target;
      await asOperator(target);
      const token = role === undefined ? {} : { token: await makeToken(target, role) };
      const before = descriptorsOf(server);
      const attacker = startAttacker(t);
      await attacker.tell('attack', { ...attack, port, ...token });
      let most = 0;
      for (;;) {
        const { made } = await attacker.tell<{ made: number }>('counts');
        most = Math.max(most, descriptorsOf(server));
        if (made >= until) break;
        await pause(20);
      }
      await asOperator(target);
      const sds = new SdsClient(server.socket);
      t.after(() => sds.close());
      const { resources } = await sds.fetch({ resourceNames: [WEB] });
      assert.equal(resources.length, 1);
      // The connection of the SDS client, the operator's, and files that are open for a moment.
      assert.ok(most <= before + MAX_CONNECTIONS + 10, `${most} descriptors, ${before} before`);
      await attacker.end();
      sds.close();
      while (descriptorsOf(server) > before) await pause(20);
      assert.deepEqual(
        server.log.filter(({ level }) => level === 'error'),
        [],
      );
      assert.equal((await server.stop()).code, 0);
    });
  }
});

const BODY = `{"spiffe_id":"${WEB}/other","selectors":["unix:uid:1"]}`;
const LENGTH = BODY.length;

/** Requests whose body is not as long as they say; each of them with a valid token. */
const LIES: Readonly<Record<string, readonly [headers: string, body: string, statuses: readonly number[]]>> = {
  'a length that is too short': [`Content-Length: ${LENGTH - 1}`, BODY, [400]],
  'a length that is too long, and then the end': [`Content-Length: ${LENGTH + 1}`, BODY, [400]],
  'a length without a body, and then the end': ['Content-Length: 10', '', [400]],
  'two lengths': [`Content-Length: ${LENGTH}\r\nContent-Length: ${LENGTH + 1}`, BODY, [400]],
  'a length and chunks': [`Content-Length: ${LENGTH}\r\nTransfer-Encoding: chunked`, `0\r\n\r\n${BODY}`, [400]],
  'a length that is no number': ['Content-Length: 0x10', BODY, [400]],
  'a negative length': ['Content-Length: -1', BODY, [400]],
  'a length above all limits': ['Content-Length: 99999999999999', BODY, [413]],
  'a length beyond any number': ['Content-Length: 99999999999999999999999', BODY, [400]],
  'chunks of no size': ['Transfer-Encoding: chunked', `x\r\n${BODY}\r\n0\r\n\r\n`, [400]],
  'chunks that are longer than they say': ['Transfer-Encoding: chunked', `5\r\n${BODY}\r\n0\r\n\r\n`, [400]],
  'chunks that do not end': ['Transfer-Encoding: chunked', `${LENGTH.toString(16)}\r\n${BODY}\r\n`, [400]],
  'an encoding that nobody knows': ['Transfer-Encoding: gzip', BODY, [400]],
};

describe('a body that lies about its length changes nothing', { timeout: 60_000 }, () => {
  test('and is answered with a problem document', async (t) => {
    const target = await start(t);
    for (const [what, [headers, body, statuses]] of Object.entries(LIES)) {
      const answers = await raw(
        target.port,
        `POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${target.token}\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`,
      );
      assert.deepEqual(
        answers.map(({ status }) => status),
        statuses,
        what,
      );
      for (const { status, type, text } of answers) {
        await assertDocumented({
          method: 'POST',
          url: '/v1/entries',
          status,
          headers: { 'content-type': type },
          text,
        });
      }
    }
    const { body } = await target.server.request('GET', '/v1/entries');
    assert.equal(body.entries.length, 1);
  });
});

interface RawAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Sends the text and the end; all answers until the server closes. */
async function raw(port: number, text: string): Promise<RawAnswer[]> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined).end(text);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  const answers: RawAnswer[] = [];
  for (let rest = Buffer.concat(chunks).toString(); rest !== ''; ) {
    const [, status, head, more] = /^HTTP\/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n(.*)$/s.exec(rest)!;
    const length = Number(/^content-length: (\d+)/im.exec(head!)![1]);
    const type = /^content-type: ([^\r;]+)/im.exec(head!)?.[1] ?? '';
    answers.push({ status: Number(status), type, text: more!.slice(0, length) });
    rest = more!.slice(length);
  }
  return answers;
}
