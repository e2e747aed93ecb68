/** A client of SPIRE's server API that plays an agent: every call by hand, so that a test can break each rule. */

import type { KeyObject } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { Status as RpcStatus } from '../../src/gen/google/rpc/status.ts';
import {
  AttestAgentRequest,
  AttestAgentResponse,
  PostStatusRequest,
  PostStatusResponse,
  RenewAgentRequest,
  RenewAgentResponse,
} from '../../src/gen/spire/api/server/agent.ts';
import { GetBundleRequest, GetFederatedBundleRequest } from '../../src/gen/spire/api/server/bundle.ts';
import { SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse } from '../../src/gen/spire/api/server/entry.ts';
import {
  BatchNewX509SVIDRequest,
  BatchNewX509SVIDResponse,
  NewJWTSVIDRequest,
  NewJWTSVIDResponse,
} from '../../src/gen/spire/api/server/svid.ts';
import { Bundle, PermissionDeniedDetails, type X509SVID } from '../../src/gen/spire/api/types.ts';
import { makeCsr } from './csr.ts';

interface Type<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** An SVID with its key, PEM. */
export interface Identity {
  readonly id: string;
  readonly key: string;
  readonly chain: string;
}

export interface Joined extends Identity {
  readonly reattestable: boolean;
}

const AGENT = '/spire.api.server.agent.v1.Agent';
const ENTRY = '/spire.api.server.entry.v1.Entry';
const SVID = '/spire.api.server.svid.v1.SVID';
const BUNDLE = '/spire.api.server.bundle.v1.Bundle';

export class AgentClient {
  readonly #client: grpc.Client;

  /** @param roots PEM @param as the SVID to show; undefined: none */
  constructor(t: { after(fn: () => void): void }, port: number, roots: Buffer, as?: Identity) {
    const credentials = grpc.credentials.createSsl(
      roots,
      as === undefined ? null : Buffer.from(as.key),
      as === undefined ? null : Buffer.from(as.chain),
      {
        checkServerIdentity: (_host, { subjectaltname }) =>
          /^URI:spiffe:\/\/[^/]+\/spire\/server$/.test(subjectaltname ?? '')
            ? undefined
            : new Error(`unexpected ID ${subjectaltname}`),
      },
    );
    this.#client = new grpc.Client(`127.0.0.1:${port}`, credentials, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
    t.after(() => this.#client.close());
  }

  close(): void {
    this.#client.close();
  }

  /** @param respond answers a challenge */
  async attest(
    type: string,
    payload: Uint8Array | string,
    respond: (challenge: Buffer) => Uint8Array = () => new Uint8Array(),
    made = makeCsr(),
  ): Promise<Joined> {
    const stream = this.stream(`${AGENT}/AttestAgent`, AttestAgentRequest, AttestAgentResponse);
    const data = { type, payload: Buffer.from(payload) };
    stream.write({ params: { data, params: { csr: made.csr } }, challengeResponse: undefined });
    for await (const { result, challenge } of stream.messages) {
      if (result?.svid !== undefined) {
        stream.end();
        return { ...identityOf(result.svid, made.privateKey), reattestable: result.reattestable };
      }
      stream.write({ params: undefined, challengeResponse: Buffer.from(respond(challenge!)) });
    }
    throw new Error('the attestation ended without a result');
  }

  async renew(made = makeCsr()): Promise<Identity> {
    const request = { params: { csr: made.csr } };
    const { svid } = await this.#ask(`${AGENT}/RenewAgent`, RenewAgentRequest, RenewAgentResponse, request);
    return identityOf(svid!, made.privateKey);
  }

  postStatus(agentVersion: string): Promise<PostStatusResponse> {
    const request = { currentBundleSerial: 0n, agentVersion };
    return this.#ask(`${AGENT}/PostStatus`, PostStatusRequest, PostStatusResponse, request);
  }

  /** The first answer to a sync. */
  async sync(): Promise<SyncAuthorizedEntriesResponse> {
    const stream = this.openSync();
    stream.write({ outputMask: undefined, ids: [] });
    for await (const answer of stream.messages) {
      stream.cancel();
      return answer;
    }
    throw new Error('the sync ended without an answer');
  }

  openSync() {
    return this.stream(`${ENTRY}/SyncAuthorizedEntries`, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse);
  }

  batch(params: readonly { readonly entryId: string; readonly csr: Buffer }[]): Promise<BatchNewX509SVIDResponse> {
    const request = { params: [...params] };
    return this.#ask(`${SVID}/BatchNewX509SVID`, BatchNewX509SVIDRequest, BatchNewX509SVIDResponse, request);
  }

  jwt(entryId: string, audience: readonly string[]): Promise<NewJWTSVIDResponse> {
    const request = { entryId, audience: [...audience] };
    return this.#ask(`${SVID}/NewJWTSVID`, NewJWTSVIDRequest, NewJWTSVIDResponse, request);
  }

  bundle(): Promise<Bundle> {
    return this.#ask(`${BUNDLE}/GetBundle`, GetBundleRequest, Bundle, { outputMask: undefined });
  }

  federatedBundle(trustDomain: string): Promise<Bundle> {
    const request = { trustDomain, outputMask: undefined };
    return this.#ask(`${BUNDLE}/GetFederatedBundle`, GetFederatedBundleRequest, Bundle, request);
  }

  stream<Q, R>(path: string, request: Type<Q>, response: Type<R>) {
    const call = this.#client.makeBidiStreamRequest(
      path,
      (message: Q) => Buffer.from(request.encode(message).finish()),
      (bytes: Buffer) => response.decode(bytes),
      new grpc.Metadata(),
      { deadline: Date.now() + 30_000 },
    );
    return {
      write: (message: Q) => void call.write(message),
      end: () => void call.end(),
      cancel: () => {
        call.on('error', () => undefined);
        call.cancel();
      },
      messages: call as AsyncIterable<R>,
    };
  }

  #ask<Q, R>(path: string, request: Type<Q>, response: Type<R>, message: Q): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (one: Q) => Buffer.from(request.encode(one).finish()),
        (bytes: Buffer) => response.decode(bytes),
        message,
        new grpc.Metadata(),
        { deadline: Date.now() + 30_000 },
        (error, answer) => (error === null ? resolve(answer!) : reject(error)),
      );
    });
  }
}

function identityOf({ certChain, id }: X509SVID, privateKey: KeyObject): Identity {
  const chain = certChain.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
  );
  return {
    id: `spiffe://${id!.trustDomain}${id!.path}`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    chain: chain.join(''),
  };
}

/** The reason for agents in a refusal; undefined: there is none. */
export function reasonOf(error: unknown): number | undefined {
  const [bytes] = (error as grpc.ServiceError).metadata?.get('grpc-status-details-bin') ?? [];
  if (bytes === undefined) return undefined;
  const [detail] = RpcStatus.decode(bytes as Buffer).details;
  return detail === undefined ? undefined : PermissionDeniedDetails.decode(detail.value).reason;
}
