/**
 * Tells clients whether the services on the pipe are served.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */

import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthListResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../gen/grpc/health/v1/health.ts';
import { decodeRequest, type Method, Status, StatusError, type Stream, type StreamEnd } from '../wire/index.ts';
import { quoted } from './quoted.ts';

const SERVICE = '/grpc.health.v1.Health';
/** The name of the server as a whole. */
const WHOLE_SERVER = '';

export class Health {
  readonly methods: readonly Method[];
  readonly #names: ReadonlySet<string>;
  readonly #watchers = new Set<Stream>();
  #status: ServingStatus = ServingStatus.NOT_SERVING;

  /** @param services full names; all have the same status, which is NOT_SERVING at first */
  constructor(services: readonly string[]) {
    this.#names = new Set([WHOLE_SERVER, ...services]);
    this.methods = [
      { path: `${SERVICE}/Check`, kind: 'unary', call: async (_call, request) => this.#check(request) },
      { path: `${SERVICE}/List`, kind: 'unary', call: async () => this.#list() },
      {
        path: `${SERVICE}/Watch`,
        kind: 'server-stream',
        open: (stream, request) => this.#watch(stream, request),
      },
    ];
  }

  /** Sets the status of all services and tells their watchers if it has changed. */
  setServing(serving: boolean): void {
    const status = serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    if (status === this.#status) return;
    this.#status = status;
    const response = encodeStatus(status);
    for (const stream of this.#watchers) stream.send(response);
  }

  #check(request: Uint8Array): Uint8Array {
    const service = serviceOf(request);
    if (this.#names.has(service)) return encodeStatus(this.#status);
    throw new StatusError(Status.NOT_FOUND, `there is no service ${quoted(service)}`);
  }

  #list(): Uint8Array {
    const statuses = Object.fromEntries(Array.from(this.#names, (name) => [name, { status: this.#status }]));
    return HealthListResponse.encode(HealthListResponse.fromPartial({ statuses })).finish();
  }

  #watch(stream: Stream, request: Uint8Array): StreamEnd {
    const isKnown = this.#names.has(serviceOf(request));
    if (isKnown) this.#watchers.add(stream);
    stream.send(encodeStatus(isKnown ? this.#status : ServingStatus.SERVICE_UNKNOWN));
    return { closed: () => this.#watchers.delete(stream) };
  }
}

function serviceOf(request: Uint8Array): string {
  return decodeRequest(HealthCheckRequest, 'HealthCheckRequest', request).service;
}

function encodeStatus(status: ServingStatus): Uint8Array {
  return HealthCheckResponse.encode({ status }).finish();
}
