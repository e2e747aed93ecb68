/** A server that says what a test tells it, over TLS, as hostile as the test wants. */

import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { Status as RpcStatus } from '../../src/gen/google/rpc/status.ts';
import { AgentMessage, ServerMessage } from '../../src/gen/sidekey/agent.ts';
import {
  AttestAgentRequest,
  AttestAgentResponse,
  PostStatusResponse,
  RenewAgentRequest,
  RenewAgentResponse,
} from '../../src/gen/spire/api/server/agent.ts';
import { BatchNewX509SVIDRequest, BatchNewX509SVIDResponse } from '../../src/gen/spire/api/server/svid.ts';
import { Bundle, PermissionDeniedDetails } from '../../src/gen/spire/api/types.ts';
import { entryToJson } from '../../src/registry/entry-json.ts';
import type { Entry } from '../../src/registry/types.ts';
import { type HostCertificate, type IssueOptions, issue } from '../agents/certificates.ts';
import { x509 } from '../support/peculiar.ts';

const HOUR = 3_600_000;
const SERVER = 'spiffe://ilinux.io/spire/server';
export const AGENT = 'spiffe://ilinux.io/spire/agent/join_token/fake';

export interface FakeOptions {
  readonly root?: HostCertificate;
  /** Of its certificate. */
  readonly leaf?: IssueOptions;
  /** By default it has the push stream. */
  readonly isSpire?: boolean;
  /** Life of agents' SVIDs, in milliseconds. */
  readonly agentLife?: number;
  readonly reattestable?: boolean;
  /** Changes what it answers. */
  readonly agentId?: () => string;
  /** The key of the SVID; by default that of the request. */
  readonly otherKey?: boolean;
  /** Called with each message to be sent on an attached stream's behalf before the first state. */
  readonly onAttach?: (stream: Attached) => void;
  /** The error with which calls of agents are refused. */
  readonly refuse?: (path: string) => Partial<grpc.ServiceError> | undefined;
  readonly port?: number;
}

/** One Attach stream. */
export interface Attached {
  readonly messages: AgentMessage[];
  send(message: Partial<ServerMessage>): void;
  /** Bytes that are no message. */
  sendRaw(bytes: Buffer): void;
  end(error?: Partial<grpc.ServiceError>): void;
  readonly isOpen: boolean;
}

const NONE: ServerMessage = {
  ...{ greeting: undefined, entries: undefined, bundle: undefined, authorities: undefined, aliases: undefined },
  ...{ revocations: undefined, question: undefined, replaced: undefined },
};

export class FakeServer {
  readonly root: HostCertificate;
  readonly port: number;
  readonly streams: Attached[] = [];
  readonly calls: string[] = [];
  /** Of its bundle, DER; by default its own root. */
  roots: Buffer[];
  readonly #server: grpc.Server;

  private constructor(server: grpc.Server, port: number, root: HostCertificate, calls: string[], streams: Attached[]) {
    this.#server = server;
    this.port = port;
    this.root = root;
    this.roots = [root.der];
    this.calls = calls;
    this.streams = streams;
  }

  static async start(t: TestContext, options: FakeOptions = {}): Promise<FakeServer> {
    const root = options.root ?? (await issue({ name: 'root', isCa: true, uris: ['spiffe://ilinux.io'] }));
    const leaf = await issue({ issuer: root, uris: [SERVER], ...options.leaf });
    const server = new grpc.Server({ 'grpc.max_send_message_length': -1 });
    const calls: string[] = [];
    const streams: Attached[] = [];
    let fake: FakeServer | undefined;
    addMethods(server, options, root, calls, streams, () => fake!.roots);
    const pair = { private_key: Buffer.from(leaf.keyPem), cert_chain: Buffer.from(leaf.pem) };
    const credentials = grpc.ServerCredentials.createSsl(null, [pair], false);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    fake = new FakeServer(server, port, root, calls, streams);
    t.after(() => fake!.stop());
    return fake;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** The stream with this number, as soon as it is attached. */
  async attached(number = 1): Promise<Attached> {
    await wait(`${number} streams`, {
      look: async () => this.streams.length,
      until: (count) => count >= number,
      within: 20_000,
    });
    return this.streams[number - 1]!;
  }
}

/** A whole state. */
export function state(
  fake: Pick<FakeServer, 'roots'>,
  entries: readonly (Entry | Buffer)[] = [],
): Partial<ServerMessage>[] {
  const put = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : bytesOf(entry)));
  return [
    { greeting: { version: '9.9.9', x509SvidTtl: 3_600, jwtSvidTtl: 300 } },
    { bundle: bundle('ilinux.io', fake.roots) },
    { entries: { put, gone: [], whole: true, more: false } },
  ];
}

export function bundle(
  trustDomain: string,
  x509Authorities: Buffer[],
  sequenceNumber = 1n,
): NonNullable<ServerMessage['bundle']> {
  return {
    ...{ trustDomain, x509Authorities, jwtAuthorities: [], crls: [], epoch: Buffer.alloc(0) },
    ...{ sequenceNumber, documentNumber: sequenceNumber, refreshHint: 0, gone: false },
  };
}

/** The error that agents read. @param reason see PermissionDeniedDetails */
export function denied(reason: number): Partial<grpc.ServiceError> {
  const metadata = new grpc.Metadata();
  const value = Buffer.from(PermissionDeniedDetails.encode({ reason: reason as never }).finish());
  const details = [{ typeUrl: 'type.googleapis.com/spire.api.types.PermissionDeniedDetails', value }];
  metadata.set('grpc-status-details-bin', Buffer.from(RpcStatus.encode({ code: 7, message: 'no', details }).finish()));
  return { code: 7, details: 'no', metadata };
}

export function bytesOf(entry: Entry): Buffer {
  return Buffer.from(JSON.stringify(entryToJson(entry)));
}

type Handler = grpc.UntypedHandleCall;

function addMethods(
  server: grpc.Server,
  options: FakeOptions,
  root: HostCertificate,
  calls: string[],
  streams: Attached[],
  roots: () => Buffer[],
): void {
  const unary = (name: string, answer: (bytes: Buffer) => Promise<Uint8Array>): [string, boolean, Handler] => [
    name,
    false,
    ((call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      calls.push(name);
      const refusal = options.refuse?.(name);
      if (refusal !== undefined) {
        done(refusal as grpc.ServiceError);
        return;
      }
      answer(call.request).then(
        (bytes) => done(null, Buffer.from(bytes)),
        (error: unknown) => done(error as grpc.ServiceError),
      );
    }) as Handler,
  ];
  const svidFor = async (csr: Buffer) => {
    const id = options.agentId?.() ?? AGENT;
    const der = await certify(root, csr, id, options.agentLife ?? HOUR, options.otherKey === true);
    return {
      certChain: [der],
      id: { trustDomain: 'ilinux.io', path: id.slice('spiffe://ilinux.io'.length) },
      expiresAt: 0n,
      hint: '',
    };
  };
  const { reattestable = false } = options;
  const methods: [name: string, bidi: boolean, handler: Handler][] = [
    [
      'spire.api.server.agent.v1.Agent/AttestAgent',
      true,
      ((call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        calls.push('AttestAgent');
        call.on('error', () => undefined);
        call.on('data', (bytes: Buffer) => {
          const refusal = options.refuse?.('AttestAgent');
          if (refusal !== undefined) {
            call.emit('error', refusal);
            return;
          }
          const { params } = AttestAgentRequest.decode(bytes);
          void svidFor(params!.params!.csr).then((svid) => {
            const result = { svid, reattestable };
            call.write(Buffer.from(AttestAgentResponse.encode({ result, challenge: undefined }).finish()));
            call.end();
          });
        });
      }) as Handler,
    ],
    unary('spire.api.server.agent.v1.Agent/RenewAgent', async (bytes) => {
      const svid = await svidFor(RenewAgentRequest.decode(bytes).params!.csr);
      return RenewAgentResponse.encode({ svid }).finish();
    }),
    unary('spire.api.server.agent.v1.Agent/PostStatus', async () => PostStatusResponse.encode({}).finish()),
    unary('spire.api.server.bundle.v1.Bundle/GetBundle', async () =>
      Bundle.encode({
        ...{ trustDomain: 'ilinux.io', jwtAuthorities: [], refreshHint: 0n, sequenceNumber: 1n },
        x509Authorities: roots().map((asn1) => ({ asn1, tainted: false })),
      }).finish(),
    ),
    unary('spire.api.server.svid.v1.SVID/BatchNewX509SVID', async (bytes) => {
      const { params } = BatchNewX509SVIDRequest.decode(bytes);
      const results = await Promise.all(
        params.map(async ({ csr }) => ({ status: { code: 0, message: '' }, svid: await svidFor(csr) })),
      );
      return BatchNewX509SVIDResponse.encode({ results }).finish();
    }),
  ];
  if (options.isSpire !== true) {
    methods.push([
      'sidekey.agent.v1.Agents/Attach',
      true,
      ((call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        calls.push('Attach');
        const refusal = options.refuse?.('Attach');
        if (refusal !== undefined) {
          call.emit('error', refusal);
          return;
        }
        const attached = attachedOf(call);
        streams.push(attached);
        options.onAttach?.(attached);
      }) as Handler,
    ]);
  }
  const same = (bytes: Buffer) => bytes;
  for (const [name, bidi, handler] of methods) {
    server.register(`/${name}`, handler as grpc.handleUnaryCall<Buffer, Buffer>, same, same, bidi ? 'bidi' : 'unary');
  }
}

function attachedOf(call: grpc.ServerDuplexStream<Buffer, Buffer>): Attached {
  const messages: AgentMessage[] = [];
  let isOpen = true;
  call.on('data', (bytes: Buffer) => messages.push(AgentMessage.decode(bytes)));
  call.on('error', () => undefined);
  call.on('cancelled', () => {
    isOpen = false;
  });
  call.on('end', () => call.end());
  return {
    messages,
    send: (message) => void call.write(Buffer.from(ServerMessage.encode({ ...NONE, ...message }).finish())),
    sendRaw: (bytes) => void call.write(bytes),
    end: (error) => {
      if (error === undefined) call.end();
      else call.emit('error', error);
    },
    get isOpen() {
      return isOpen;
    },
  };
}

/** A certificate for the key of the request. */
async function certify(
  root: HostCertificate,
  csr: Buffer,
  id: string,
  life: number,
  otherKey: boolean,
): Promise<Buffer> {
  const { publicKey } = new x509.Pkcs10CertificateRequest(csr);
  const now = Date.now();
  const made = await x509.X509CertificateGenerator.create({
    subject: 'CN=agent',
    issuer: new x509.X509Certificate(root.der).subject,
    publicKey: otherKey ? root.keys.publicKey : publicKey,
    signingKey: root.keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    notBefore: new Date(now - 1_000),
    notAfter: new Date(now + life),
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }]),
      await x509.AuthorityKeyIdentifierExtension.create(root.keys.publicKey),
    ],
  });
  return Buffer.from(made.rawData);
}
