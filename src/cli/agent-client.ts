/** Asks the pipe as `spire-agent` does, with its time limits and the words of its errors. */

import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { printable } from '../base/index.ts';
import { HealthCheckRequest, HealthCheckResponse } from '../gen/grpc/health/v1/health.ts';
import {
  JWTBundlesResponse,
  JWTSVIDRequest,
  JWTSVIDResponse,
  ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponse,
  X509SVIDResponse,
} from '../gen/workload.ts';
import { goQuoted } from './go-words.ts';
import { PIPE_OPTIONS } from './pipe-failure.ts';

const WORKLOAD_API = '/SpiffeWorkloadAPI';

/** The error of a call in the words of a Go client: `rpc error: code = PermissionDenied desc = …`. */
export class RpcError extends Error {
  readonly status: status;
  /** The server's own words. */
  readonly details: string;

  constructor({ code, details }: Pick<ServiceError, 'code' | 'details'>, socketPath: string) {
    const told = detailsOf(code, details, socketPath);
    super(`rpc error: code = ${nameOf(code)} desc = ${told}`);
    this.status = code;
    this.details = told;
  }
}

/** PERMISSION_DENIED -> PermissionDenied */
function nameOf(code: status): string {
  if (code === status.CANCELLED) return 'Canceled';
  return (status[code] ?? 'UNKNOWN').replace(
    /_?([A-Z])([A-Z]*)/g,
    (_, first: string, rest: string) => first + rest.toLowerCase(),
  );
}

const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ECONNREFUSED: 'connection refused',
  EACCES: 'permission denied',
};

function detailsOf(code: status, details: string, socketPath: string): string {
  if (code === status.DEADLINE_EXCEEDED) return 'context deadline exceeded';
  if (code === status.CANCELLED) return 'context canceled';
  const errno = /^No connection established\..* connect (E[A-Z]+) /s.exec(details)?.[1];
  if (errno === undefined) return printable(details);
  const why = CONNECT_ERRORS[errno] ?? errno;
  return `connection error: desc = ${goQuoted(`transport: Error while dialing: dial unix ${socketPath}: connect: ${why}`)}`;
}

/** Every promise rejects with an {@link RpcError}. */
export interface AgentClient {
  x509Svids(): Promise<X509SVIDResponse>;
  jwtBundles(): Promise<JWTBundlesResponse>;
  jwtSvids(audience: readonly string[], spiffeId: string): Promise<JWTSVIDResponse>;
  validate(audience: string, svid: string): Promise<ValidateJWTSVIDResponse>;
  /** The name of the status: SERVING. */
  health(): Promise<string>;
  /** Tells each message; settles when the stream ends, or when `stop` is called. */
  watchX509Svids(told: (message: X509SVIDResponse) => void): { readonly ended: Promise<RpcError>; stop(): void };
  close(): void;
}

/** @param timeout of each call, in milliseconds; 0: none */
export function connectAgent(socketPath: string, timeout: number): AgentClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), PIPE_OPTIONS);
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  const options = () => (timeout > 0 ? { deadline: Date.now() + timeout } : {});
  const bytesOf = (bytes: Uint8Array) => Buffer.from(bytes);

  function ask<R>(path: string, request: Uint8Array, decode: (bytes: Buffer) => R): Promise<R> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, bytesOf, decode, request, metadata, options(), (error, response) => {
        if (error === null) resolve(response!);
        else reject(new RpcError(error, socketPath));
      });
    });
  }

  function open<R>(method: string, decode: (bytes: Buffer) => R, limits: object): ClientReadableStream<R> {
    return client.makeServerStreamRequest(
      `${WORKLOAD_API}/${method}`,
      bytesOf,
      decode,
      Buffer.alloc(0),
      metadata,
      limits,
    );
  }

  function first<R>(method: string, decode: (bytes: Buffer) => R): Promise<R> {
    return new Promise((resolve, reject) => {
      const call = open(method, decode, options());
      call.on('data', (message: R) => {
        resolve(message);
        call.cancel();
      });
      call.on('error', (error: ServiceError) => reject(new RpcError(error, socketPath)));
      call.on('end', () => reject(new Error('EOF')));
    });
  }

  return {
    x509Svids: () => first('FetchX509SVID', (bytes) => X509SVIDResponse.decode(bytes)),
    jwtBundles: () => first('FetchJWTBundles', (bytes) => JWTBundlesResponse.decode(bytes)),
    jwtSvids: (audience, spiffeId) => {
      const request = JWTSVIDRequest.encode({ audience: [...audience], spiffeId }).finish();
      return ask(`${WORKLOAD_API}/FetchJWTSVID`, request, (bytes) => JWTSVIDResponse.decode(bytes));
    },
    validate: (audience, svid) => {
      const request = ValidateJWTSVIDRequest.encode({ audience, svid }).finish();
      return ask(`${WORKLOAD_API}/ValidateJWTSVID`, request, (bytes) => ValidateJWTSVIDResponse.decode(bytes));
    },
    health: async () => {
      const request = HealthCheckRequest.encode({ service: '' }).finish();
      const answer = await ask('/grpc.health.v1.Health/Check', request, (bytes) => HealthCheckResponse.decode(bytes));
      return ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'][answer.status] ?? String(answer.status);
    },
    watchX509Svids: (told) => {
      const call = open('FetchX509SVID', (bytes) => X509SVIDResponse.decode(bytes), {});
      call.on('data', told);
      const ended = new Promise<RpcError>((resolve) => {
        call.on('error', (error: ServiceError) => resolve(new RpcError(error, socketPath)));
        call.on('end', () => resolve(new RpcError({ code: status.UNKNOWN, details: 'EOF' }, socketPath)));
      });
      return { ended, stop: () => call.cancel() };
    },
    close: () => client.close(),
  };
}
