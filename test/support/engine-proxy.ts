/** A socket in front of a real engine, which may keep an answer back or give an old one. */

import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { tempDir } from './temp-dir.ts';

export interface Answered {
  readonly status: number;
  readonly body: Buffer;
}

export class EngineProxy {
  readonly socketPath: string;
  /** Paths that were asked for, events aside. */
  readonly asked: string[] = [];
  /** Each answer comes so much later, in milliseconds. */
  delayMs = 0;
  /** Given the engine's answer, what to give away, and when. */
  answer: (path: string, real: Answered) => Promise<Answered> | Answered = (_, real) => real;
  readonly #engine: string;

  constructor(t: Pick<TestContext, 'after'>, engine: string) {
    this.#engine = engine;
    this.socketPath = path.join(tempDir(t as TestContext), 'engine.sock');
  }

  async start(t: Pick<TestContext, 'after'>): Promise<void> {
    const server = http.createServer((request, response) => {
      this.#forward(request, response).catch(() => response.destroy());
    });
    server.listen(this.socketPath);
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
  }

  async #forward(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = request.url!;
    const asking = http.get({ socketPath: this.#engine, path: url, headers: { host: 'engine' }, agent: false });
    response.once('close', () => asking.destroy());
    const [real] = (await once(asking, 'response')) as [http.IncomingMessage];
    if (url.startsWith('/events?')) {
      response.writeHead(real.statusCode!).flushHeaders();
      real.pipe(response);
      return;
    }
    this.asked.push(url);
    const chunks: Buffer[] = [];
    for await (const chunk of real) chunks.push(chunk);
    if (this.delayMs > 0) await pause(this.delayMs);
    const { status, body } = await this.answer(url, { status: real.statusCode!, body: Buffer.concat(chunks) });
    response.writeHead(status).end(body);
  }
}
