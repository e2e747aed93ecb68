/** Asks the pipe like an Envoy, but with FetchSecrets: one request and one answer. */

import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';

const FETCH_SECRETS = '/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets';
const TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
/** Time limit of a request, in milliseconds: attestation may have to hash a large binary. */
const TIMEOUT_MS = 10_000;

export interface SdsClient {
  /**
   * Fetches the named secrets that this process may have; without names, all that it may have.
   * @throws Error with the server's reason
   */
  fetch(names: readonly string[]): Promise<Secret[]>;
  close(): void;
}

export function connectPipe(socketPath: string): SdsClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    // An answer without names contains every identity of the caller, so it may be large.
    'grpc.max_receive_message_length': -1,
  });
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
            if (error !== null) reject(explain(error, socketPath));
            else resolve(response!.resources.map(({ value }) => Secret.decode(value)));
          },
        );
      }),
    close: () => client.close(),
  };
}

/** The pipe can't be reached; `code` is the same as in the admin API's client. */
class UnreachableError extends Error {
  readonly code = 'ERR_UNREACHABLE';
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'this socket does not exist: start sidekey serve, or give --socket the path that the server has',
  ECONNREFUSED: 'no process listens there: start sidekey serve',
  EACCES:
    "only the socket's owner and group may connect: run this command as one of them (`ls -l` shows both), " +
    'or start sidekey serve with --socket-group',
};

function explain(error: ServiceError, socketPath: string): Error {
  // grpc-js gives the reason for a failed connection only as text.
  const errno = /^No connection established\..* connect (E[A-Z]+) /s.exec(error.details)?.[1] ?? '';
  const reason = REASONS[errno];
  if (reason !== undefined) return new UnreachableError(`${socketPath}: ${reason}`, { cause: error });
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new UnreachableError(`${socketPath}: no answer within ${TIMEOUT_MS / 1000} s`, { cause: error });
  }
  const decision = /\(decision (d-[0-9a-f]{12})\)/.exec(error.details)?.[1];
  const next =
    decision === undefined ? '' : `; as root or the user of the server, sidekey explain ${decision} says why`;
  return Object.assign(new Error(`${socketPath}: ${error.details}${next}`, { cause: error }), { decision });
}
