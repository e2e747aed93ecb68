/** gRPC clients for the wire, of bytes that nobody decodes. */

import * as grpc from '@grpc/grpc-js';

const identity = (bytes: Buffer): Buffer => bytes;

export class WireClient {
  readonly #client: grpc.Client;

  /** A connection of its own. */
  constructor(socketPath: string, options: grpc.ChannelOptions = {}) {
    this.#client = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
  }

  stream(method: string): WireStream {
    return new WireStream(this.#client.makeBidiStreamRequest(method, identity, identity));
  }

  /** @throws grpc.ServiceError */
  unary(method: string, request: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(method, identity, identity, request, (error, response) =>
        error === null ? resolve(response!) : reject(error),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

export class WireStream {
  readonly call: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly status: Promise<grpc.StatusObject>;
  readonly #received: string[] = [];
  readonly #waiting: ((text: string) => void)[] = [];

  constructor(call: grpc.ClientDuplexStream<Buffer, Buffer>) {
    this.call = call;
    // The same as the status, which comes after it.
    call.on('error', () => {});
    this.status = new Promise((resolve) => call.once('status', resolve));
    call.on('data', (bytes: Buffer) => {
      const take = this.#waiting.shift();
      if (take === undefined) this.#received.push(bytes.toString());
      else take(bytes.toString());
    });
  }

  send(text: string | Buffer): void {
    this.call.write(Buffer.from(text as string));
  }

  /** The next message that came. */
  receive(): Promise<string> {
    const text = this.#received.shift();
    if (text !== undefined) return Promise.resolve(text);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
