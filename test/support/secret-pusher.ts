/** An SDS server on a Unix socket that gives an Envoy any secret, and reports its ACK or NACK. */

import type { TestContext } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE } from './sds-client.ts';

const METHOD = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';

/** Envoy opens one for each name. */
type Stream = grpc.ServerDuplexStream<DiscoveryRequest, Buffer>;

export class SecretPusher {
  readonly #streams = new Map<string, Stream>();
  /** The last response of each name. */
  readonly #responses = new Map<string, Buffer>();
  /** By nonce: '' for an ACK, the message of a NACK. */
  readonly #answers = new Map<string, string>();
  #pushes = 0;

  private constructor() {}

  /** Listens until the test ends, for one Envoy. */
  static async start(t: Pick<TestContext, 'after'>, socket: string): Promise<SecretPusher> {
    const pusher = new SecretPusher();
    const server = new grpc.Server();
    server.register(
      METHOD,
      (stream: Stream) => pusher.#serve(stream),
      (bytes: Buffer) => bytes,
      (bytes) => DiscoveryRequest.decode(bytes),
      'bidi',
    );
    await new Promise<void>((resolve, reject) => {
      const listening = (error: Error | null) => (error === null ? resolve() : reject(error));
      server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), listening);
    });
    t.after(() => server.forceShutdown());
    return pusher;
  }

  /** Sends a secret, at once or when Envoy asks for its name. @return the message of Envoy's NACK, or '' for its ACK */
  async push(secret: Secret): Promise<string> {
    this.#pushes += 1;
    const nonce = String(this.#pushes);
    const resources = [{ typeUrl: SECRET_TYPE, value: Buffer.from(Secret.encode(secret).finish()) }];
    const response = DiscoveryResponse.fromPartial({ versionInfo: nonce, nonce, typeUrl: SECRET_TYPE, resources });
    this.#responses.set(secret.name, Buffer.from(DiscoveryResponse.encode(response).finish()));
    this.#send(secret.name);
    const look = async () => this.#answers.get(nonce);
    return (await wait(`an answer to ${secret.name}`, { look, until: (answer) => answer !== undefined }))!;
  }

  #serve(stream: Stream): void {
    stream.on('data', ({ resourceNames: [name = ''], responseNonce, errorDetail }: DiscoveryRequest) => {
      this.#streams.set(name, stream);
      if (responseNonce === '') this.#send(name);
      else this.#answers.set(responseNonce, errorDetail?.message ?? '');
    });
    stream.on('error', () => undefined);
    stream.on('end', () => stream.end());
  }

  #send(name: string): void {
    const response = this.#responses.get(name);
    if (response !== undefined) this.#streams.get(name)?.write(response);
  }
}
