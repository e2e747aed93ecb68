/**
 * A stand-in for a container engine that fails as real ones seldom do on request: on a real socket, with real HTTP, and
 * answers that the test gives.
 */

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { tempDir } from './temp-dir.ts';

type Answer = (response: http.ServerResponse, request: http.IncomingMessage) => void;

export class StandInEngine {
  readonly socketPath: string;
  /** Answers about containers and images; by default there are none. */
  answer: Answer = (response) => response.writeHead(404).end('{"message":"no such container"}');
  /** Which questions for events are refused with status 400, by their filters; by default none. */
  refusesEvents: (filters: Record<string, unknown>) => boolean = () => false;
  /** Paths that were asked for, events aside. */
  readonly asked: string[] = [];
  #server: http.Server | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #listeners = new Set<http.ServerResponse>();
  #listened: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(t: Pick<TestContext, 'after'>) {
    this.socketPath = path.join(tempDir(t as TestContext), 'engine.sock');
    t.after(() => this.stop());
  }

  async start(): Promise<void> {
    this.#server = http.createServer((request, response) => {
      if (request.url!.startsWith('/events?')) {
        const { searchParams } = new URL(request.url!, 'http://engine');
        if (this.refusesEvents(JSON.parse(searchParams.get('filters')!) as Record<string, unknown>)) {
          response.writeHead(400).end('{"message":"invalid filter"}');
          return;
        }
        response.writeHead(200).flushHeaders();
        this.#listeners.add(response);
        response.once('close', () => this.#listeners.delete(response));
        this.#listened.resolve();
        return;
      }
      this.asked.push(request.url!);
      this.answer(response, request);
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.socketPath);
    await once(this.#server, 'listening');
  }

  /** Resolves when somebody listens to the events, at some time since the start or the last cut. */
  listenedTo(): Promise<void> {
    return this.#listened.promise;
  }

  /** Tells an event, or something that is none. */
  tell(event: unknown, end = '\n'): void {
    const line = typeof event === 'string' ? event : JSON.stringify(event);
    for (const response of this.#listeners) response.write(line + end);
  }

  /** Ends the streams of events. */
  cut(): void {
    this.#listened = Promise.withResolvers();
    for (const response of this.#listeners) response.destroy();
  }

  /** Is gone, its connections with it. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#listened = Promise.withResolvers();
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    rmSync(this.socketPath, { force: true });
  }
}

export const IMAGE_ID = `sha256:${'1f'.repeat(32)}`;

/** The state of a container whose main process has just been started. */
export function runningAs(pid: number): Record<string, unknown> {
  const startedAt = pid === process.pid ? performance.timeOrigin : Date.now();
  return { Status: 'running', Running: true, Pid: pid, StartedAt: new Date(startedAt).toISOString() };
}

/** What a real engine says of a container, as far as it is read; its main process is the test itself. */
export function containerJson(id: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    Id: id,
    Name: '/web-1',
    State: runningAs(process.pid),
    Image: IMAGE_ID,
    Config: { Image: 'envoy:v1', Labels: { app: 'web' }, Env: ['MODE=test'] },
    NetworkSettings: { Networks: { front: { NetworkID: 'ab' } } },
    ...more,
  };
}

/** Answers about one container, whatever is asked; of a container's processes it says that the main one is all. */
export function answering(json: unknown): Answer {
  return (response, request) => {
    const pid = (json as { State?: { Pid?: number } } | null)?.State?.Pid;
    const isTop = pid !== undefined && request.url!.includes('/top?');
    const answer = isTop ? { Titles: ['PID'], Processes: [[String(pid)]] } : json;
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  };
}
