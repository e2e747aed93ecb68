/** An SDS client that does nothing of itself, so that a test can behave well or badly. */

import { X509Certificate } from 'node:crypto';
import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { SPIFFECertValidatorConfig } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { EPOCH_TRUST_DOMAIN } from '../../src/spiffe/bundle.ts';

export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
const SERVICE = '/envoy.service.secret.v3.SecretDiscoveryService';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

type Request = Parameters<typeof DiscoveryRequest.fromPartial>[0];
type DeltaRequest = Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0];

export class SdsClient {
  readonly #client: grpc.Client;

  constructor(socket: string) {
    // A pool of its own: two clients of one process are two connections.
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  stream(service: 'sds' | 'ads' = 'sds'): SdsStream {
    const method = service === 'sds' ? `${SERVICE}/StreamSecrets` : `${ADS}/StreamAggregatedResources`;
    return new SdsStream(this.#open(method, DiscoveryResponse.decode));
  }

  delta(service: 'sds' | 'ads' = 'sds'): DeltaStream {
    const method = service === 'sds' ? `${SERVICE}/DeltaSecrets` : `${ADS}/DeltaAggregatedResources`;
    return new DeltaStream(this.#open(method, DeltaDiscoveryResponse.decode));
  }

  #open<R>(method: string, decode: (bytes: Buffer) => R): grpc.ClientDuplexStream<Uint8Array, R> {
    const encoded = (request: Uint8Array) => Buffer.from(request);
    return this.#client.makeBidiStreamRequest(method, encoded, (bytes: Buffer) => decode(bytes));
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

/** The responses of a stream, in order. */
export class ResponseStream<R, Call extends grpc.ClientReadableStream<R> = grpc.ClientReadableStream<R>> {
  protected readonly call: Call;
  readonly #responses: R[] = [];
  readonly #waiting: ((response: R | undefined) => void)[] = [];
  #ended = false;
  /** Responses that came so far. */
  received = 0;
  /** How the stream ended. */
  readonly status: Promise<grpc.StatusObject>;

  constructor(call: Call) {
    this.call = call;
    call.on('data', (response: R) => {
      this.received += 1;
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#responses.push(response);
      else waiter(response);
    });
    call.on('error', () => undefined);
    this.status = new Promise((resolve) => call.on('status', resolve));
    void this.status.then(() => {
      this.#ended = true;
      for (const waiter of this.#waiting.splice(0)) waiter(undefined);
    });
  }

  /** The next response, now or later; rejects when the stream ends without one. */
  async next(): Promise<R> {
    const ready = this.#responses.shift();
    if (ready !== undefined) return ready;
    const response = this.#ended
      ? undefined
      : await new Promise<R | undefined>((resolve) => this.#waiting.push(resolve));
    if (response === undefined) throw new Error(`the stream ended: ${(await this.status).details}`);
    return response;
  }

  cancel(): void {
    this.call.cancel();
  }
}

class RequestStream<R> extends ResponseStream<R, grpc.ClientDuplexStream<Uint8Array, R>> {
  sendBytes(bytes: Uint8Array): void {
    this.call.write(bytes);
  }
}

const NODE = { id: 'test', cluster: 'test' };

export class SdsStream extends RequestStream<DiscoveryResponse> {
  send(request: Request): void {
    this.sendBytes(
      DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ typeUrl: SECRET_TYPE, ...request })).finish(),
    );
  }

  ask(...resourceNames: string[]): void {
    this.send({ resourceNames, node: NODE });
  }

  /** Accepts a response and asks for these names, or the ones in it. */
  ack(response: DiscoveryResponse, resourceNames: string[] = namesOf(response)): void {
    this.send({ resourceNames, versionInfo: response.versionInfo, responseNonce: response.nonce });
  }

  nack(response: DiscoveryResponse, message: string): void {
    const errorDetail = { code: 13, message };
    this.send({ resourceNames: namesOf(response), responseNonce: response.nonce, errorDetail });
  }
}

export class DeltaStream extends RequestStream<DeltaDiscoveryResponse> {
  send(request: DeltaRequest): void {
    const message = DeltaDiscoveryRequest.fromPartial({ typeUrl: SECRET_TYPE, ...request });
    this.sendBytes(DeltaDiscoveryRequest.encode(message).finish());
  }

  ask(...resourceNamesSubscribe: string[]): void {
    this.send({ resourceNamesSubscribe, node: NODE });
  }

  ack({ nonce: responseNonce }: DeltaDiscoveryResponse): void {
    this.send({ responseNonce });
  }

  nack({ nonce: responseNonce }: DeltaDiscoveryResponse, message: string): void {
    this.send({ responseNonce, errorDetail: { code: 13, message } });
  }
}

/** A stream of its own client that asks for these names, and is cancelled when the test ends. */
export function openStream(t: Pick<TestContext, 'after'>, socket: string, ...names: string[]): SdsStream {
  const client = new SdsClient(socket);
  const stream = client.stream();
  t.after(() => {
    stream.cancel();
    client.close();
  });
  stream.ask(...names);
  return stream;
}

type Response = DiscoveryResponse | DeltaDiscoveryResponse;

export function secretsOf(response: Response): Secret[] {
  return response.resources.map((one) => Secret.decode('resource' in one ? one.resource!.value : one.value));
}

export function namesOf(response: Response): string[] {
  return secretsOf(response)
    .map(({ name }) => name)
    .sort();
}

export function secretOf(response: Response, name: string): Secret {
  const found = secretsOf(response).find((secret) => secret.name === name);
  if (found === undefined) throw new Error(`no ${name} in ${namesOf(response).join(', ')}`);
  return found;
}

/** The certificates of a `tls_certificate`, leaf first. */
export function chainOf(secret: Secret): X509Certificate[] {
  return certificatesIn(secret.tlsCertificate!.certificateChain!.inlineBytes!);
}

/** The roots of a validation context, of either kind, without the throw-away CA of revocation lists. */
export function rootsOf(secret: Secret): X509Certificate[] {
  const { trustedCa, customValidatorConfig } = secret.validationContext!;
  const bundles =
    trustedCa === undefined
      ? SPIFFECertValidatorConfig.decode(customValidatorConfig!.typedConfig!.value).trustDomains.map(
          ({ trustBundle }) => trustBundle!,
        )
      : [trustedCa];
  return bundles
    .flatMap(({ inlineBytes }) => certificatesIn(inlineBytes!))
    .filter(({ subjectAltName }) => subjectAltName !== `URI:spiffe://${EPOCH_TRUST_DOMAIN}`);
}

function certificatesIn(pem: Uint8Array): X509Certificate[] {
  const blocks = Buffer.from(pem)
    .toString()
    .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g);
  return (blocks ?? []).map((block) => new X509Certificate(block));
}
