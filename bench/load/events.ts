/** What a server says on GET /v1/events, for who measures by it. */

import http from 'node:http';
import type { Cleanup } from '../figure.ts';

/** When events come, on a clock without steps. */
export class Events {
  readonly #waiting = new Map<string, (at: number) => void>();

  static async open(cleanup: Cleanup, socketPath: string): Promise<Events> {
    const events = new Events();
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = http.get({ socketPath, path: '/v1/events' }, resolve).on('error', reject);
      cleanup.after(() => request.destroy());
    });
    let rest = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      const at = performance.now();
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith('event: ')) events.#tell(line.slice('event: '.length), at);
    });
    response.on('error', () => undefined);
    return events;
  }

  next(type: 'sent' | 'acked'): Promise<number> {
    return new Promise((resolve) => this.#waiting.set(type, resolve));
  }

  #tell(type: string, at: number): void {
    this.#waiting.get(type)?.(at);
    this.#waiting.delete(type);
  }
}
