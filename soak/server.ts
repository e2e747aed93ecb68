/** The server that is killed, and what is asked of it. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { type Place, spawnServe } from '../test/support/serve.ts';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export class CrashingServer {
  readonly #child: ChildProcess;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #place: Place;
  /** Resolves to true when it serves, to false when it ended before. */
  readonly serving: Promise<boolean>;
  readonly #ended: Promise<unknown>;
  #stderr = '';
  #killed = false;

  constructor(place: Place, flags: readonly string[]) {
    this.#place = place;
    this.#child = spawnServe(place, [...flags, '--log-level', 'info']);
    this.#ended = once(this.#child, 'close');
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    createInterface(this.#child.stdout!).on('line', (line) => {
      if (line.includes('"msg":"serving"')) resolve(true);
    });
    void this.#ended.then(() => resolve(false));
    this.serving = promise;
  }

  /** Sends SIGKILL, now. */
  shoot(): void {
    this.#killed ||= this.#child.kill('SIGKILL');
  }

  /** Ends it with SIGKILL and waits until it has ended. @throws {Error} with its last words if it had ended by itself */
  async kill(): Promise<void> {
    this.shoot();
    await this.#ended;
    this.#agent.destroy();
    if (this.#child.signalCode !== 'SIGKILL') throw new Error(`the server ended by itself: ${this.#stderr}`);
  }

  get killed(): boolean {
    return this.#killed;
  }

  /** Undefined where the whole answer did not come. */
  request(method: string, path: string, body?: unknown): Promise<Answer | undefined> {
    const options = { socketPath: this.#place.adminSocket, agent: this.#agent, method, path };
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve) => {
      const request = http.request({ ...options, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(response.complete ? { status: response.statusCode!, text } : undefined));
        response.on('error', () => resolve(undefined));
      });
      request.on('error', () => resolve(undefined));
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
