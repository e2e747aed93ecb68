/** A client of the Workload API that does nothing of itself: it opens streams with the metadata that a test wants. */

import type { X509Certificate } from 'node:crypto';
import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { certificatesOf } from '../../src/cli/der.ts';
import {
  JWTBundlesResponse,
  JWTSVIDRequest,
  JWTSVIDResponse,
  ValidateJWTSVIDRequest,
  ValidateJWTSVIDResponse,
  X509BundlesResponse,
  type X509SVID,
  X509SVIDResponse,
} from '../../src/gen/workload.ts';
import { ResponseStream } from './sds-client.ts';

/** What the specification asks for. */
export const HEADER: Readonly<Record<string, readonly string[]>> = { 'workload.spiffe.io': ['true'] };

export class WorkloadClient {
  readonly #client: grpc.Client;

  constructor(t: Pick<TestContext, 'after'>, socket: string) {
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    t.after(() => this.#client.close());
  }

  x509Svids(headers = HEADER): ResponseStream<X509SVIDResponse> {
    return this.#open('FetchX509SVID', X509SVIDResponse.decode, headers);
  }

  x509Bundles(headers = HEADER): ResponseStream<X509BundlesResponse> {
    return this.#open('FetchX509Bundles', X509BundlesResponse.decode, headers);
  }

  jwtBundles(headers = HEADER): ResponseStream<JWTBundlesResponse> {
    return this.#open('FetchJWTBundles', JWTBundlesResponse.decode, headers);
  }

  /** @throws grpc.ServiceError */
  async jwtSvids(audience: readonly string[], spiffeId = '', headers = HEADER): Promise<JWTSVIDResponse['svids']> {
    const request = JWTSVIDRequest.encode({ audience: [...audience], spiffeId }).finish();
    return (await this.#ask('FetchJWTSVID', request, JWTSVIDResponse.decode, headers)).svids;
  }

  /** @throws grpc.ServiceError */
  validate(audience: string, svid: string, headers = HEADER): Promise<ValidateJWTSVIDResponse> {
    const request = ValidateJWTSVIDRequest.encode({ audience, svid }).finish();
    return this.#ask('ValidateJWTSVID', request, ValidateJWTSVIDResponse.decode, headers);
  }

  #ask<R>(method: string, request: Uint8Array, decode: (bytes: Buffer) => R, headers: typeof HEADER): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/SpiffeWorkloadAPI/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => decode(bytes),
        request,
        metadataOf(headers),
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      );
    });
  }

  #open<R>(method: string, decode: (bytes: Buffer) => R, headers: typeof HEADER): ResponseStream<R> {
    const nothing = () => Buffer.alloc(0);
    const path = `/SpiffeWorkloadAPI/${method}`;
    return new ResponseStream(
      this.#client.makeServerStreamRequest(path, nothing, (bytes: Buffer) => decode(bytes), {}, metadataOf(headers)),
    );
  }
}

function metadataOf(headers: typeof HEADER): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, values] of Object.entries(headers)) for (const value of values) metadata.add(name, value);
  return metadata;
}

/** The leaf and the rest of the chain. */
export function chainIn({ x509Svid }: X509SVID): X509Certificate[] {
  return certificatesOf(x509Svid);
}
