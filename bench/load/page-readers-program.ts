/** Readers of the page's messages, in a process of their own: each parses all that it gets, as a browser does. */

import http from 'node:http';
import { obey } from './program.ts';

interface Reader {
  messages: number;
  bytes: number;
  rows: number;
}

const readers: Reader[] = [];

function open(socketPath: string): Promise<void> {
  const reader = { messages: 0, bytes: 0, rows: 0 };
  readers.push(reader);
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: '/v1/page/events', agent: false }, (response) => {
      let rest = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        reader.bytes += text.length;
        const parts = (rest + text).split('\n\n');
        rest = parts.pop()!;
        for (const part of parts) {
          const data = /^data: (.*)$/m.exec(part)?.[1];
          if (data === undefined) continue;
          reader.messages += 1;
          reader.rows += (JSON.parse(data) as { rows?: unknown[] }).rows?.length ?? 0;
        }
      });
      // The server ends before this program.
      response.on('error', () => undefined);
      resolve();
    });
    request.on('error', reject);
  });
}

obey({
  open: async ({ socketPath, count }: { socketPath: string; count: number }) => {
    await Promise.all(Array.from({ length: count }, () => open(socketPath)));
  },
  seen: () => readers,
});
