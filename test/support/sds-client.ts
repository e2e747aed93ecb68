/** An SDS client that does nothing of itself, so that a test can behave well or badly. */

import { X509Certificate } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { SPIFFECertValidatorConfig } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';

export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';

type Request = Parameters<typeof DiscoveryRequest.fromPartial>[0];

export class SdsClient {
  readonly #client: grpc.Client;

  constructor(socket: string) {
    // A pool of its own: two clients of one process are two connections.
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  stream(): SdsStream {
    const call = this.#client.makeBidiStreamRequest(
      `${SERVICE}/StreamSecrets`,
      (request: Uint8Array) => Buffer.from(request),
      (bytes: Buffer) => DiscoveryResponse.decode(bytes),
    );
    return new SdsStream(call);
  }

  /** @throws grpc.ServiceError */
  fetch(request: Request): Promise<DiscoveryResponse> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `${SERVICE}/FetchSecrets`,
        (message: Request) => Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish()),
        (bytes: Buffer) => DiscoveryResponse.decode(bytes),
        { typeUrl: SECRET_TYPE, ...request },
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

export class SdsStream {
  readonly #call: grpc.ClientDuplexStream<Uint8Array, DiscoveryResponse>;
  readonly #responses: DiscoveryResponse[] = [];
  readonly #waiting: ((response: DiscoveryResponse | undefined) => void)[] = [];
  /** Responses that came so far. */
  received = 0;
  /** How the stream ended. */
  readonly status: Promise<grpc.StatusObject>;

  constructor(call: grpc.ClientDuplexStream<Uint8Array, DiscoveryResponse>) {
    this.#call = call;
    call.on('data', (response: DiscoveryResponse) => {
      this.received += 1;
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#responses.push(response);
      else waiter(response);
    });
    call.on('error', () => undefined);
    this.status = new Promise((resolve) => call.on('status', resolve));
    void this.status.then(() => {
      for (const waiter of this.#waiting.splice(0)) waiter(undefined);
    });
  }

  send(request: Request): void {
    this.sendBytes(
      DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ typeUrl: SECRET_TYPE, ...request })).finish(),
    );
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(bytes);
  }

  ask(...resourceNames: string[]): void {
    this.send({ resourceNames, node: { id: 'test', cluster: 'test' } });
  }

  /** The next response, now or later; rejects when the stream ends without one. */
  async next(): Promise<DiscoveryResponse> {
    const ready = this.#responses.shift();
    if (ready !== undefined) return ready;
    const response = await new Promise<DiscoveryResponse | undefined>((resolve) => this.#waiting.push(resolve));
    if (response === undefined) throw new Error(`the stream ended: ${(await this.status).details}`);
    return response;
  }

  /** Accepts a response and asks for these names, or the ones in it. */
  ack(response: DiscoveryResponse, resourceNames: string[] = namesOf(response)): void {
    this.send({ resourceNames, versionInfo: response.versionInfo, responseNonce: response.nonce });
  }

  nack(response: DiscoveryResponse, message: string): void {
    const errorDetail = { code: 13, message };
    this.send({ resourceNames: namesOf(response), responseNonce: response.nonce, errorDetail });
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export function secretsOf(response: DiscoveryResponse): Secret[] {
  return response.resources.map(({ value }) => Secret.decode(value));
}

export function namesOf(response: DiscoveryResponse): string[] {
  return secretsOf(response)
    .map(({ name }) => name)
    .sort();
}

export function secretOf(response: DiscoveryResponse, name: string): Secret {
  const found = secretsOf(response).find((secret) => secret.name === name);
  if (found === undefined) throw new Error(`no ${name} in ${namesOf(response).join(', ')}`);
  return found;
}

/** The certificates of a `tls_certificate`, leaf first. */
export function chainOf(secret: Secret): X509Certificate[] {
  return pemBlocks(secret.tlsCertificate!.certificateChain!.inlineBytes!).map((pem) => new X509Certificate(pem));
}

/** The roots of a validation context, of either kind. */
export function rootsOf(secret: Secret): X509Certificate[] {
  const { trustedCa, customValidatorConfig } = secret.validationContext!;
  if (trustedCa !== undefined) return pemBlocks(trustedCa.inlineBytes!).map((pem) => new X509Certificate(pem));
  const { trustDomains } = SPIFFECertValidatorConfig.decode(customValidatorConfig!.typedConfig!.value);
  return trustDomains.flatMap(({ trustBundle }) =>
    pemBlocks(trustBundle!.inlineBytes!).map((pem) => new X509Certificate(pem)),
  );
}

function pemBlocks(bytes: Uint8Array): string[] {
  return (
    Buffer.from(bytes)
      .toString()
      .match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? []
  );
}
