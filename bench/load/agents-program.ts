/** Many agents of Sidekey, in one process: each joins with a token, from an address of its own, and attaches. */

import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { makeCsr } from '../../src/ca/csr-writer.ts';
import { generateEcKeyPair, type KeyPair } from '../../src/ca/key-pair.ts';
import { pem } from '../../src/ca/pem.ts';
import { AgentMessage, ServerMessage } from '../../src/gen/sidekey/agent.ts';
import { AttestAgentRequest, AttestAgentResponse } from '../../src/gen/spire/api/server/agent.ts';
import { BatchNewX509SVIDRequest, BatchNewX509SVIDResponse } from '../../src/gen/spire/api/server/svid.ts';
import { obey, sharedNow } from './program.ts';

export interface JoinOptions {
  readonly port: number;
  readonly tokens: readonly string[];
}

export interface SvidOptions {
  /** Entries of the agents. */
  readonly entryIds: readonly string[];
  readonly agents: number;
  /** Of one batch. */
  readonly batch: number;
}

interface Agent {
  readonly session: http2.ClientHttp2Session;
  /** Number of messages with entries. */
  changes: number;
}

const agents: Agent[] = [];
let waiting: { readonly changes: number; readonly resolve: (at: number) => void } | undefined;
const AT_ONCE = 16;

obey({ join, changed, svids });

/** Joins and attaches, until each has its entries. */
async function join({ port, tokens }: JoinOptions): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < tokens.length) {
      const i = next;
      next += 1;
      // A server limits attestations by address.
      const localAddress = `127.0.${1 + (i >> 7)}.${1 + (i & 127)}`;
      const keyPair = generateEcKeyPair();
      const stranger = await connect(port, localAddress);
      const certChain = await attest(stranger, tokens[i]!, keyPair);
      stranger.close();
      const cert = certChain.map((der) => pem('CERTIFICATE', Buffer.from(der))).join('');
      const session = await connect(port, localAddress, { cert, key: pem('PRIVATE KEY', keyPair.pkcs8) });
      agents.push(await attach(session));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** The time at which each agent has had this number of changes of its entries; the first state is one. */
function changed({ changes }: { readonly changes: number }): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  waiting = { changes, resolve };
  tellIfDone();
  return promise;
}

/** Asks SVIDs, one batch an agent, all at once. @returns how long it took, in milliseconds */
async function svids({ entryIds, agents: count, batch }: SvidOptions): Promise<number> {
  const csr = await makeCsr(generateEcKeyPair());
  const requests = agents.slice(0, count).map(() => {
    const params = Array.from({ length: batch }, (_, i) => ({ entryId: entryIds[i % entryIds.length]!, csr }));
    return BatchNewX509SVIDRequest.encode({ params }).finish();
  });
  const begun = sharedNow();
  const answers = await Promise.all(
    requests.map((request, i) => unary(agents[i]!.session, '/spire.api.server.svid.v1.SVID/BatchNewX509SVID', request)),
  );
  const took = sharedNow() - begun;
  for (const answer of answers) {
    const { results } = BatchNewX509SVIDResponse.decode(answer);
    if (results.length !== batch || results.some(({ svid }) => svid === undefined))
      throw new Error('an SVID is missing');
  }
  return took;
}

function tellIfDone(): void {
  if (waiting === undefined || agents.some(({ changes }) => changes < waiting!.changes)) return;
  waiting.resolve(sharedNow());
  waiting = undefined;
}

async function connect(
  port: number,
  localAddress: string,
  own: tls.SecureContextOptions = {},
): Promise<http2.ClientHttp2Session> {
  const under = net.connect({ host: '127.0.0.1', port, localAddress });
  const socket = tls.connect({ socket: under, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...own });
  await once(socket, 'secureConnect');
  return http2.connect('https://server', { createConnection: () => socket });
}

async function attest(session: http2.ClientHttp2Session, token: string, keyPair: KeyPair): Promise<Uint8Array[]> {
  const data = { type: 'join_token', payload: Buffer.from(token) };
  const params = { data, params: { csr: await makeCsr(keyPair) } };
  const request = AttestAgentRequest.encode({ params, challengeResponse: undefined }).finish();
  const answer = await unary(session, '/spire.api.server.agent.v1.Agent/AttestAgent', request);
  return AttestAgentResponse.decode(answer).result!.svid!.certChain;
}

/** One request and the first answer. */
function unary(session: http2.ClientHttp2Session, path: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const stream = open(session, path, resolve);
    stream.on('error', reject);
    stream.on('trailers', (trailers) => reject(new Error(`${path}: ${String(trailers['grpc-message'])}`)));
    stream.on('response', (headers) => {
      if (headers['grpc-status'] !== undefined) reject(new Error(`${path}: ${String(headers['grpc-message'])}`));
    });
    stream.end(framed(request));
  });
}

async function attach(session: http2.ClientHttp2Session): Promise<Agent> {
  const agent: Agent = { session, changes: 0 };
  const whole = Promise.withResolvers<void>();
  const stream = open(session, '/sidekey.agent.v1.Agents/Attach', (bytes) => {
    const { entries } = ServerMessage.decode(bytes);
    if (entries === undefined || entries.more) return;
    agent.changes += 1;
    whole.resolve();
    tellIfDone();
  });
  stream.on('error', whole.reject);
  stream.on('trailers', (trailers) => whole.reject(new Error(String(trailers['grpc-message']))));
  const greeting = { version: 'bench', host: 'bench' };
  stream.write(framed(AgentMessage.encode({ greeting, report: undefined, answer: undefined }).finish()));
  await whole.promise;
  return agent;
}

function open(
  session: http2.ClientHttp2Session,
  path: string,
  told: (message: Uint8Array) => void,
): http2.ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    ...{ 'content-type': 'application/grpc', te: 'trailers' },
  });
  let rest = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let size = sizeOf(rest); size !== undefined && rest.length >= 5 + size; size = sizeOf(rest)) {
      told(rest.subarray(5, 5 + size));
      rest = rest.subarray(5 + size);
    }
  });
  return stream;
}

function sizeOf(bytes: Buffer): number | undefined {
  return bytes.length < 5 ? undefined : bytes.readUInt32BE(1);
}

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
