/** A pipe between Envoy and Sidekey that can be cut, and that can spoil a certificate on its way. */

import { once } from 'node:events';
import net from 'node:net';
import { Transform } from 'node:stream';
import type { TestContext } from 'node:test';

/** What comes right before the base64 of a certificate in PEM. It is found by its first byte, which it has once. */
const MARKER = Buffer.from('BEGIN CERTIFICATE-----\n');
const NOT_BASE64 = '!'.charCodeAt(0);

export class FaultyPipe {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #spoiled: PromiseWithResolvers<void> | undefined;

  private constructor(target: string) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(target);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.pipe(upstream);
      upstream.pipe(this.#spoiler()).pipe(client);
    });
  }

  /** Listens at a path and connects each client to the target; until the test ends. */
  static async open(t: Pick<TestContext, 'after'>, path: string, target: string): Promise<FaultyPipe> {
    const pipe = new FaultyPipe(target);
    pipe.#server.listen(path);
    await once(pipe.#server, 'listening');
    t.after(() => {
      pipe.#server.close();
      pipe.cut();
    });
    return pipe;
  }

  /** Ends every connection, without a word of gRPC. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Makes the next certificate to come by one that can't be read: the length stays. Resolves once it was. */
  spoilNextCertificate(): Promise<void> {
    this.#spoiled ??= Promise.withResolvers();
    return this.#spoiled.promise;
  }

  #spoiler(): Transform {
    let matched = 0;
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        for (let at = 0; at < chunk.length; at += 1) {
          if (matched === MARKER.length) {
            matched = 0;
            if (this.#spoiled === undefined) continue;
            chunk[at] = NOT_BASE64;
            this.#spoiled.resolve();
            this.#spoiled = undefined;
          } else if (chunk[at] === MARKER[matched]) matched += 1;
          else matched = chunk[at] === MARKER[0] ? 1 : 0;
        }
        done(null, chunk);
      },
    });
  }
}
