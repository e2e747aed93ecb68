/** A client of the Workload API that does nothing of itself: it opens streams with the metadata that a test wants. */

import { X509Certificate } from 'node:crypto';
import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { JWTBundlesResponse, X509BundlesResponse, type X509SVID, X509SVIDResponse } from '../../src/gen/workload.ts';
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

  #open<R>(method: string, decode: (bytes: Buffer) => R, headers: typeof HEADER): ResponseStream<R> {
    const metadata = new grpc.Metadata();
    for (const [name, values] of Object.entries(headers)) for (const value of values) metadata.add(name, value);
    const nothing = () => Buffer.alloc(0);
    const path = `/SpiffeWorkloadAPI/${method}`;
    return new ResponseStream(
      this.#client.makeServerStreamRequest(path, nothing, (bytes: Buffer) => decode(bytes), {}, metadata),
    );
  }
}

/** Certificates in DER, one after the other. */
export function certificatesIn(der: Uint8Array): X509Certificate[] {
  const found: X509Certificate[] = [];
  for (let rest = der; rest.length > 0; ) {
    const certificate = new X509Certificate(rest);
    found.push(certificate);
    rest = rest.subarray(certificate.raw.length);
  }
  return found;
}

/** The leaf and the rest of the chain. */
export function chainIn({ x509Svid }: X509SVID): X509Certificate[] {
  return certificatesIn(x509Svid);
}
