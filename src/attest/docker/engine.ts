/**
 * Questions to a container engine, Docker's or Podman's, over its Unix socket and nothing else: an API over TCP would
 * need its own proof of who answers.
 *
 * Each new connection is looked at before anything is sent on it: see engine-trust.ts.
 *
 * Paths have no version: any engine answers with its newest, and what is read of it has been the same since 2014.
 */

import http from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { SidekeyError } from '../../base/errors.ts';
import { peerCredentials } from '../socket-peer.ts';
import { MAX_ANSWER_BYTES, parseAnswer, TooLargeError } from './answer.ts';
import { whyForeignEngine, whyLoosePath } from './engine-trust.ts';

export interface Engine {
  /**
   * The JSON at a path; undefined for 404. The caller has made sure of what it put into the path.
   * @throws ERR_ATTESTATION_FAILED, as TooLargeError where it is that; or the reason of the signal
   */
  get(path: string, signal: AbortSignal): Promise<unknown>;
  /** Opens a response that goes on, on a connection of its own. @throws as {@link get} */
  open(path: string, signal: AbortSignal): Promise<http.IncomingMessage>;
  close(): void;
}

/** Connections; further questions wait for one, within their time. */
const CONNECTIONS = 8;

export function createEngine(socketPath: string): Engine {
  const agent = new EngineAgent(socketPath, { keepAlive: true, maxSockets: CONNECTIONS });
  /** For responses that go on. */
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
        // The error of JSON.parse shows what it read.
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
        // Leaving the loop destroys the response, and its connection with it.
        if (bytes > MAX_ANSWER_BYTES) {
          throw new TooLargeError(`the answer to ${path}`, `more than ${MAX_ANSWER_BYTES} bytes, and no more are read`);
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

/** The engine is there and refuses what it was asked for. */
export class EngineStatusError extends SidekeyError {
  constructor({ code, message }: SidekeyError) {
    super(code, message);
  }
}

/** Makes connections to an engine that is believed, and gives them away only then. */
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
      // The callback takes no socket where there is an error.
      (callback as (error: Error) => void)(error);
    };
    const why = whyLoosePath(this.#socketPath);
    if (why !== undefined) {
      process.nextTick(fail, this.#disbelieve(why));
      return;
    }
    const connecting = net.connect(this.#socketPath);
    socket = connecting;
    connecting.once('error', fail).once('connect', () => {
      connecting.off('error', fail);
      const why = whyForeignPeer(connecting);
      if (why === undefined) callback(null, connecting);
      else fail(this.#disbelieve(why));
    });
  }

  #disbelieve(why: string): SidekeyError {
    return new SidekeyError(
      'ERR_ATTESTATION_FAILED',
      `the container engine at ${this.#socketPath} is not believed: ${why}`,
    );
  }
}

/** Nobody catches what is thrown while a socket tells that it is connected: it would end the server. */
function whyForeignPeer(socket: net.Socket): string | undefined {
  try {
    return whyForeignEngine(peerCredentials(socket).uid);
  } catch (thrown) {
    return `who listens on its socket can't be found out: ${(thrown as Error).message}`;
  }
}

/** The engine had closed a kept connection, or did as it was used: whatever was asked can be asked again. */
class StaleConnection extends Error {}

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  EACCES: "Sidekey's user may not use the socket: give it the socket's group",
  ECONNREFUSED: 'nobody listens there (a socket that is mounted as a file is stale once the engine was restarted)',
  ENOTSOCK: 'it is no socket',
  ECONNRESET: 'it cut the connection',
};
