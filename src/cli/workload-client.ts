/** Asks the pipe by the SPIFFE Workload API. Streams are read once, or watched. */

import {
  type CallOptions,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import {
  JWTBundlesResponse,
  JWTSVIDRequest,
  JWTSVIDResponse,
  ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponse,
  X509BundlesResponse,
  X509SVIDResponse,
} from '../gen/workload.ts';
import type { StreamListener, SvidSource } from '../svid-files/index.ts';
import { explainFailure, PIPE_OPTIONS, TIMEOUT_MS } from './pipe-failure.ts';

const SERVICE = '/SpiffeWorkloadAPI';

/** Every promise rejects with an Error that has the server's reason. */
export interface WorkloadApiClient extends SvidSource {
  x509Svids(): Promise<X509SVIDResponse>;
  x509Bundles(): Promise<X509BundlesResponse>;
  jwtBundles(): Promise<JWTBundlesResponse>;
  validate(audience: string, svid: string): Promise<ValidateJWTSVIDResponse>;
  close(): void;
}

export function connectWorkloadApi(socketPath: string): WorkloadApiClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), PIPE_OPTIONS);
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');

  function ask<R>(method: string, request: Uint8Array, decode: (bytes: Buffer) => R): Promise<R> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `${SERVICE}/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => decode(bytes),
        request,
        metadata,
        { deadline: Date.now() + TIMEOUT_MS },
        (error, response) => {
          if (error === null) resolve(response!);
          else reject(explainFailure(error, socketPath));
        },
      );
    });
  }

  function open<R>(method: string, decode: (bytes: Buffer) => R, options: CallOptions): ClientReadableStream<R> {
    return client.makeServerStreamRequest(
      `${SERVICE}/${method}`,
      () => Buffer.alloc(0),
      (bytes: Buffer) => decode(bytes),
      {},
      metadata,
      options,
    );
  }

  function first<R>(method: string, decode: (bytes: Buffer) => R): Promise<R> {
    return new Promise((resolve, reject) => {
      const call = open(method, decode, { deadline: Date.now() + TIMEOUT_MS });
      call.on('data', (message: R) => {
        resolve(message);
        call.cancel();
      });
      call.on('error', (error: ServiceError) => reject(explainFailure(error, socketPath)));
      // After a message or a failure this does nothing.
      call.on('end', () => reject(new Error(`${socketPath}: the server ended the stream without a message`)));
    });
  }

  function watch<R>(method: string, decode: (bytes: Buffer) => R, { message, end }: StreamListener<R>): () => void {
    const call = open(method, decode, {});
    let isOver = false;
    const over = (error: Error) => {
      if (isOver) return;
      isOver = true;
      end(error);
    };
    call.on('data', (received: R) => {
      if (!isOver) message(received);
    });
    call.on('error', (error: ServiceError) => over(explainFailure(error, socketPath)));
    // After a failure, 'error' comes first.
    call.on('end', () => over(new Error(`${socketPath}: the server ended the stream`)));
    return () => {
      isOver = true;
      call.cancel();
    };
  }

  return {
    x509Svids: () => first('FetchX509SVID', X509SVIDResponse.decode),
    x509Bundles: () => first('FetchX509Bundles', X509BundlesResponse.decode),
    jwtBundles: () => first('FetchJWTBundles', JWTBundlesResponse.decode),
    jwtSvids: (audience, spiffeId) => {
      const request = JWTSVIDRequest.encode({ audience: [...audience], spiffeId }).finish();
      return ask('FetchJWTSVID', request, JWTSVIDResponse.decode);
    },
    validate: (audience, svid) => {
      const request = ValidateJWTSVIDRequest.encode({ audience, svid }).finish();
      return ask('ValidateJWTSVID', request, ValidateJWTSVIDResponse.decode);
    },
    watchX509Svids: (listener) => watch('FetchX509SVID', X509SVIDResponse.decode, listener),
    watchJwtBundles: (listener) => watch('FetchJWTBundles', JWTBundlesResponse.decode, listener),
    close: () => client.close(),
  };
}
