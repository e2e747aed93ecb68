/** A server with many streams that all have their certificate. */

import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import type { Cleanup } from '../figure.ts';
import type { OpenOptions } from './client-program.ts';
import { Program } from './program.ts';

/** Opens `streams` streams of one user, of one name each, on `connections` connections of one program. */
export async function serveStreams(
  cleanup: Cleanup,
  streams: number,
  connections: number,
  flags: readonly string[] = [],
): Promise<Served> {
  const server = await serve(cleanup, { logLevel: 'info', flags });
  const name = `spiffe://${TRUST_DOMAIN}/web`;
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  await server.request('POST', '/v1/entries', { spiffe_id: name, selectors });
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array<string>(streams).fill(name);
  const options: OpenOptions = {
    ...{ socket: server.socket, connections, names, node: 'tiny', nodeInAcks: false, atOnce: 200 },
  };
  await client.tell('open', options);
  return server;
}
