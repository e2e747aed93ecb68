/** What the gRPC clients of the pipe have in common: their options, and the errors for people. */

import { type ServiceError, status } from '@grpc/grpc-js';
import { printable } from '../base/index.ts';

/** Time limit of a request, in milliseconds: attestation may have to hash a large binary. */
export const TIMEOUT_MS = 10_000;

/** Maximum size of one answer, in bytes. It may contain every identity of the caller: 16 MiB are about 7,000. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export const PIPE_OPTIONS = {
  'grpc.default_authority': 'localhost',
  // grpc-js collects a whole message in memory, and any server may be behind SPIFFE_ENDPOINT_SOCKET.
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  // A server that was restarted is found again soon; by default it can take two minutes.
  'grpc.initial_reconnect_backoff_ms': 250,
  'grpc.max_reconnect_backoff_ms': 5_000,
};

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

/** The error of a call, with what to do about it. It has the id of the decision, if the server recorded one. */
export function explainFailure(error: ServiceError, socketPath: string): Error {
  // grpc-js gives the reason for a failed connection only as text.
  const errno = /^No connection established\..* connect (E[A-Z]+) /s.exec(error.details)?.[1] ?? '';
  const reason = REASONS[errno];
  if (reason !== undefined) return new UnreachableError(`${socketPath}: ${reason}`, { cause: error });
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new UnreachableError(`${socketPath}: no answer within ${TIMEOUT_MS / 1000} s`, { cause: error });
  }
  // SDS has the id in its text, the Workload API only in the details.
  const details = error.metadata?.get('grpc-status-details-bin').join(' ') ?? '';
  const decision = /\bd-[0-9a-f]{12}\b/.exec(`${error.details} ${details}`)?.[0];
  const next =
    decision === undefined ? '' : `; as root or the user of the server, sidekey explain ${decision} says why`;
  // In one line, so that a server cannot add lines that look like those of the command.
  const told = printable(error.details);
  return Object.assign(new Error(`${socketPath}: ${told}${next}`, { cause: error }), { decision });
}
