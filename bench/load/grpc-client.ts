/** A gRPC client on bare node:http2: lighter than grpc-js, so that the server is what is measured. */

import http2 from 'node:http2';
import net from 'node:net';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
const HEAD = 5;

/** The streaming methods, by service and variant. */
export const METHODS = {
  'sds sotw': `${SDS}/StreamSecrets`,
  'sds delta': `${SDS}/DeltaSecrets`,
  'ads sotw': `${ADS}/StreamAggregatedResources`,
  'ads delta': `${ADS}/DeltaAggregatedResources`,
} as const;
export type Way = keyof typeof METHODS;

export class Connection {
  readonly #session: http2.ClientHttp2Session;

  constructor(socket: string) {
    this.#session = http2.connect('http://localhost', {
      createConnection: () => net.connect(socket),
      settings: { enablePush: false },
    });
    this.#session.on('error', fail);
  }

  /** Told of each message that comes. */
  stream(message: (bytes: Buffer) => void, way: Way = 'sds sotw'): Call {
    return new Call(this.#session, METHODS[way], message);
  }

  fetch(request: Buffer): Promise<Buffer> {
    return new Promise((resolve) => {
      new Call(this.#session, `${SDS}/FetchSecrets`, resolve).end(request);
    });
  }

  close(): void {
    this.#session.destroy();
  }
}

export class Call {
  readonly #stream: http2.ClientHttp2Stream;
  #rest: Buffer | undefined;

  constructor(session: http2.ClientHttp2Session, path: string, message: (bytes: Buffer) => void) {
    this.#stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('error', fail);
    const check = (headers: http2.IncomingHttpHeaders) => {
      const status = headers['grpc-status'];
      if (status !== undefined && status !== '0') fail(new Error(`${status} ${headers['grpc-message']}`));
    };
    this.#stream.on('response', check).on('trailers', check);
    this.#stream.on('data', (chunk: Buffer) => {
      let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
      while (bytes.length >= HEAD && bytes.length >= HEAD + bytes.readUInt32BE(1)) {
        const end = HEAD + bytes.readUInt32BE(1);
        message(bytes.subarray(HEAD, end));
        bytes = bytes.subarray(end);
      }
      this.#rest = bytes.length === 0 ? undefined : bytes;
    });
  }

  send(message: Buffer): void {
    this.#stream.write(framed(message));
  }

  end(message: Buffer): void {
    this.#stream.end(framed(message));
  }
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A load that fails measures nothing. */
function fail(error: Error): never {
  console.error(error);
  process.exit(1);
}
