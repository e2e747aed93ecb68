/** Why a call to a server, or the connection to it, failed. */

import { type ServiceError, status } from '@grpc/grpc-js';
import { printable } from '../base/index.ts';
import { Status as RpcStatus } from '../gen/google/rpc/status.ts';
import { PermissionDeniedDetails, PermissionDeniedDetails_Reason } from '../gen/spire/api/types.ts';

/**
 * `unreachable`: nothing answers, or the connection ended. `untrusted`: the server's certificate is under an unknown root.
 * `identity`: it has another SPIFFE ID. `clock`: it is not valid at the time of this host's clock. `denied`: the server
 * refuses this agent. `refused`: any other status. `protocol`: an answer breaks a rule or a limit.
 */
export type FailureKind = 'unreachable' | 'untrusted' | 'identity' | 'clock' | 'denied' | 'refused' | 'protocol';

export class Failure extends Error {
  readonly kind: FailureKind;
  /** Status of gRPC; undefined: there was no answer of the server. */
  readonly code: status | undefined;
  /** Why the server denied the agent; undefined: it did not say, or did not deny it. */
  readonly reason: PermissionDeniedDetails_Reason | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    more: { code?: status; reason?: PermissionDeniedDetails_Reason | undefined; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'Failure';
    this.kind = kind;
    this.code = more.code;
    this.reason = more.reason;
  }

  static protocol(problem: string): Failure {
    return new Failure('protocol', `the server's answer is refused: ${problem}`);
  }
}

/** Maximum length of a text of the server's in a message, in characters. */
const MOST_CHARACTERS = 300;

/** A text that the server chose, for messages and the log. */
export function cleaned(text: string): string {
  const shown = printable(text.slice(0, MOST_CHARACTERS));
  return text.length > MOST_CHARACTERS ? `${shown}…` : shown;
}

/** OpenSSL's words for a chain that does not end at a known root. */
const UNKNOWN_ROOT =
  /unable to get (local )?issuer certificate|self[- ]signed certificate|unable to verify the first certificate|certificate signature failure|unsuitable certificate purpose|invalid CA certificate/i;
const WRONG_TIME = /certificate has expired|certificate is not yet valid/i;

/** @param server `host:port` @param now milliseconds since the epoch */
export function failureOf(error: unknown, server: string, now: number): Failure {
  if (error instanceof Failure) return error;
  const { code, details = '', metadata } = error as Partial<ServiceError>;
  if (code === undefined) return new Failure('protocol', `${server}: ${cleaned(String((error as Error).message))}`);
  const connecting = /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note:/s.exec(
    details,
  )?.[1];
  if (connecting !== undefined) return connectionFailure(connecting, server, now);
  const text = cleaned(details);
  if (code === status.PERMISSION_DENIED) {
    const reason = reasonOf(metadata?.get('grpc-status-details-bin')[0]);
    return new Failure('denied', `the server ${server} denies this agent: ${text}`, { code, reason, cause: error });
  }
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED || code === status.CANCELLED) {
    return new Failure('unreachable', `${server}: ${text}`, { code, cause: error });
  }
  return new Failure('refused', `the server ${server} answers ${status[code] ?? code}: ${text}`, {
    code,
    cause: error,
  });
}

function connectionFailure(text: string, server: string, now: number): Failure {
  const shown = cleaned(text);
  if (text.startsWith(IDENTITY)) return new Failure('identity', `${server}: ${shown.slice(IDENTITY.length)}`);
  if (WRONG_TIME.test(text)) {
    const clock = `this host's clock says ${new Date(now).toISOString()}`;
    return new Failure(
      'clock',
      `${server}: ${shown} for the server's certificate; ${clock}: compare the clocks of both hosts`,
    );
  }
  if (UNKNOWN_ROOT.test(text)) {
    return new Failure(
      'untrusted',
      `${server}: the server's certificate is under no root that this agent knows (${shown}): it is another server, or one that has lost its data directory`,
    );
  }
  return new Failure('unreachable', `${server}: ${shown}`);
}

/** Begins the errors of a check of the server's SPIFFE ID. */
export const IDENTITY = 'server identity: ';

function reasonOf(bytes: unknown): PermissionDeniedDetails_Reason | undefined {
  if (!Buffer.isBuffer(bytes)) return undefined;
  try {
    const detail = RpcStatus.decode(bytes).details.find(({ typeUrl }) => typeUrl.endsWith('.PermissionDeniedDetails'));
    const { reason } = PermissionDeniedDetails.decode(detail?.value ?? new Uint8Array());
    return reason === PermissionDeniedDetails_Reason.UNKNOWN ? undefined : reason;
  } catch {
    return undefined;
  }
}
