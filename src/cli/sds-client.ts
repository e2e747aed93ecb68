/** Asks the pipe like an Envoy, but with FetchSecrets: one request and one answer. */

import { Client, credentials } from '@grpc/grpc-js';
import { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import { explainFailure, PIPE_OPTIONS, TIMEOUT_MS } from './pipe-failure.ts';

const FETCH_SECRETS = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
const TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

export interface SdsClient {
  /**
   * Fetches the named secrets that this process may have; without names, all that it may have.
   * @throws Error with the server's reason
   */
  fetch(names: readonly string[]): Promise<Secret[]>;
  close(): void;
}

export function connectPipe(socketPath: string): SdsClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), PIPE_OPTIONS);
  return {
    fetch: (names) =>
      new Promise((resolve, reject) => {
        const request = DiscoveryRequest.create({
          typeUrl: TYPE_URL,
          resourceNames: [...names],
          // Asks for plain PEM bundles: files can't use Envoy's SPIFFE validator.
          node: { id: 'sidekey-fetch', metadata: { disable_spiffe_cert_validation: true } },
        });
        client.makeUnaryRequest(
          FETCH_SECRETS,
          (message: DiscoveryRequest) => Buffer.from(DiscoveryRequest.encode(message).finish()),
          (bytes) => DiscoveryResponse.decode(bytes),
          request,
          { deadline: Date.now() + TIMEOUT_MS },
          (error, response) => {
            if (error !== null) reject(explainFailure(error, socketPath));
            else resolve(response!.resources.map(({ value }) => Secret.decode(value)));
          },
        );
      }),
    close: () => client.close(),
  };
}
