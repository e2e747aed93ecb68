/**
 * HTTP requests to a container engine (Docker, Podman) over its Unix socket. TCP is not supported, because the engine
 * would have to be authenticated.
 *
 * Each new connection is checked before a request is sent on it; see engine-trust.ts.
 *
 * Request paths contain no API version, so an engine answers with its newest one. The fields that Sidekey reads have
 * not changed since 2014.
 */

import http from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { SidekeyError } from '../../base/index.ts';
import { peerCredentials } from '../socket-peer.ts';
import { MAX_ENGINE_ANSWER_BYTES, parseAnswer, TooLargeError } from './answer.ts';
import { whyForeignEngine, whyUntrustedPath } from './engine-trust.ts';

export interface Engine {
  /**
   * GETs JSON; undefined for status 404.
   * @param path not encoded here, so it must not contain unchecked input
   * @throws ERR_ATTESTATION_FAILED, also as TooLargeError; the reason of the signal if it is aborted
   */
  get(path: string, signal: AbortSignal): Promise<unknown>;
  /** Opens a streaming response on a connection of its own. @throws as {@link get} */
  open(path: string, signal: AbortSignal): Promise<http.IncomingMessage>;
  close(): void;
}

/** Maximum number of connections; further requests wait for one. */
const CONNECTIONS = 8;

export function createEngine(socketPath: string): Engine {
  const agent = new EngineAgent(socketPath, { keepAlive: true, maxSockets: CONNECTIONS });
  /** For streaming responses. */
  const single = new EngineAgent(socketPath, { keepAlive: false });

  return {
    async get(path, signal) {
      let response: http.IncomingMessage;
      try {
        response = await ask(path, agent, signal);
      } catch (error) {
        if (!(error instanceof StaleConnection)) throw translate(error, signal);
        response = await ask(path, agent, signal).catch((second) => {
          throw translate(second, signal);
        });
      }
      const body = await read(response, path, signal);
      if (response.statusCode === 404) return undefined;
      if (response.statusCode !== 200) throw failed(`it answered with status ${response.statusCode}`);
      try {
        return parseAnswer(body, path);
      } catch (error) {
        if (error instanceof TooLargeError) throw error;
        // The message of JSON.parse contains parts of the answer.
        throw failed('its answer is not JSON');
      }
    },
    async open(path, signal) {
      try {
        const response = await ask(path, single, signal);
        if (response.statusCode === 200) return response;
        response.destroy();
        throw new EngineStatusError(failed(`it answered with status ${response.statusCode}`));
      } catch (error) {
        throw translate(error, signal);
      }
    },
    close: () => {
      agent.destroy();
      single.destroy();
    },
  };

  function ask(path: string, agent: http.Agent, signal: AbortSignal): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const request = http.get({ socketPath, path, agent, signal, headers: { host: 'engine' } }, resolve);
    request.on('error', (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(stale ? new StaleConnection() : error);
    });
    return promise;
  }

  async function read(response: http.IncomingMessage, path: string, signal: AbortSignal): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response) {
        bytes += chunk.length;
        // Leaving the loop destroys the response and its connection.
        if (bytes > MAX_ENGINE_ANSWER_BYTES) {
          throw new TooLargeError(
            `the answer to ${path}`,
            `more than ${MAX_ENGINE_ANSWER_BYTES} bytes, which is the limit`,
          );
        }
        chunks.push(chunk);
      }
    } catch (error) {
      throw translate(error, signal);
    }
    return Buffer.concat(chunks);
  }

  function failed(problem: string): SidekeyError {
    return new SidekeyError('ERR_ATTESTATION_FAILED', `the container engine at ${socketPath} fails: ${problem}`);
  }

  function translate(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof SidekeyError) return error;
    const code = error instanceof StaleConnection ? 'ECONNRESET' : ((error as NodeJS.ErrnoException).code ?? '');
    if (code.startsWith('HPE_')) return failed('its answer is not HTTP');
    const hint = HINTS[code];
    return failed(hint === undefined ? code || 'an unexpected error' : `${code}, ${hint}`);
  }
}

/** The engine answered with an unexpected status. */
export class EngineStatusError extends SidekeyError {
  constructor({ code, message }: SidekeyError) {
    super(code, message);
  }
}

/** Makes connections, and hands them out only if the engine is trusted. */
class EngineAgent extends http.Agent {
  readonly #socketPath: string;

  constructor(socketPath: string, options: http.AgentOptions) {
    super(options);
    this.#socketPath = socketPath;
  }

  override createConnection(_: unknown, callback: (error: Error | null, socket: Duplex) => void): undefined {
    let socket: net.Socket | undefined;
    const fail = (error: Error): void => {
      socket?.destroy();
      // The type demands a socket, but Node expects none after an error.
      (callback as (error: Error) => void)(error);
    };
    const why = whyUntrustedPath(this.#socketPath);
    if (why !== undefined) {
      process.nextTick(fail, this.#untrusted(why));
      return;
    }
    const connecting = net.connect(this.#socketPath);
    socket = connecting;
    connecting.once('error', fail).once('connect', () => {
      connecting.off('error', fail);
      const why = whyForeignPeer(connecting);
      if (why === undefined) callback(null, connecting);
      else fail(this.#untrusted(why));
    });
  }

  #untrusted(why: string): SidekeyError {
    const message = `the container engine at ${this.#socketPath} is not trusted: ${why}`;
    return new SidekeyError('ERR_ATTESTATION_FAILED', message);
  }
}

/** It must not throw: an exception in a 'connect' listener would end the process. */
function whyForeignPeer(socket: net.Socket): string | undefined {
  try {
    return whyForeignEngine(peerCredentials(socket).uid);
  } catch (thrown) {
    return `the process that listens on its socket cannot be identified: ${(thrown as Error).message}`;
  }
}

/** The engine closed an idle connection before or while it was used. The request can be repeated. */
class StaleConnection extends Error {}

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  EACCES: "Sidekey's user has no access to the socket: run Sidekey with the socket's group",
  ECONNREFUSED: 'no process listens there (a socket that is mounted as a file is stale after a restart of the engine)',
  ENOTSOCK: 'it is not a socket',
  ECONNRESET: 'it closed the connection',
};
