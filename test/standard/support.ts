/** Clients of grpc-js for the standard services. */

import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import {
  HealthCheckRequest,
  HealthCheckResponse,
  type HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../src/gen/grpc/health/v1/health.ts';
import { ServerReflectionRequest, ServerReflectionResponse } from '../../src/gen/grpc/reflection/v1/reflection.ts';

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

const encode =
  <T>(type: Codec<T>) =>
  (message: T): Buffer =>
    Buffer.from(type.encode(message).finish());
const decode =
  <T>(type: Codec<T>) =>
  (bytes: Buffer): T =>
    type.decode(bytes);

/** A connection of its own, closed after the test. */
export function connect(t: TestContext, socket: string): grpc.Client {
  const options = { 'grpc.use_local_subchannel_pool': 1 };
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), options);
  t.after(() => client.close());
  return client;
}

/** @throws grpc.ServiceError */
export function unary<Request, Response>(
  client: grpc.Client,
  path: string,
  [requestType, responseType]: readonly [Codec<Request>, Codec<Response>],
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, encode(requestType), decode(responseType), request, (error, response) =>
      error === null ? resolve(response!) : reject(error),
    );
  });
}

/** @throws grpc.ServiceError */
export async function check(client: grpc.Client, service: string): Promise<ServingStatus> {
  const types = [HealthCheckRequest, HealthCheckResponse] as const;
  return (await unary(client, '/grpc.health.v1.Health/Check', types, { service })).status;
}

export interface Watch {
  readonly call: grpc.ClientReadableStream<HealthCheckResponse>;
  /** What came so far. */
  readonly seen: ServingStatus[];
  readonly ended: Promise<grpc.StatusObject>;
}

export function watch(client: grpc.Client, service: string): Watch {
  const path = '/grpc.health.v1.Health/Watch';
  const [encodeRequest, decodeResponse] = [encode(HealthCheckRequest), decode(HealthCheckResponse)];
  const call = client.makeServerStreamRequest(path, encodeRequest, decodeResponse, { service });
  const seen: ServingStatus[] = [];
  call.on('data', ({ status }: HealthCheckResponse) => seen.push(status));
  call.on('error', () => undefined);
  return { call, seen, ended: new Promise((resolve) => call.once('status', resolve)) };
}

export interface Reflection {
  /** The response to one request. */
  ask(request: Partial<ServerReflectionRequest>): Promise<ServerReflectionResponse>;
  readonly call: grpc.ClientDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;
  readonly ended: Promise<grpc.StatusObject>;
}

export function reflect(client: grpc.Client, version: 'v1' | 'v1alpha' = 'v1'): Reflection {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const call = client.makeBidiStreamRequest(path, encode(ServerReflectionRequest), decode(ServerReflectionResponse));
  const waiting: ((response: ServerReflectionResponse) => void)[] = [];
  call.on('data', (response: ServerReflectionResponse) => waiting.shift()!(response));
  call.on('error', () => undefined);
  return {
    call,
    ended: new Promise((resolve) => call.once('status', resolve)),
    ask(request) {
      call.write(ServerReflectionRequest.fromPartial(request));
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}
