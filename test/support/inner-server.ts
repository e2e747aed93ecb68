/** The whole server inside the test's process, on real sockets, by a clock of the test's own. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { type AdminClient, connectAdmin } from '../../src/client/client.ts';
import { loadServeConfig } from '../../src/config/load.ts';
import { type Server, startServer } from '../../src/server/server.ts';
import { TestClock } from './clock.ts';
import { SdsClient } from './sds-client.ts';
import { tempDir } from './temp-dir.ts';

export interface InnerServer {
  readonly clock: TestClock;
  readonly server: Server;
  readonly dataDir: string;
  readonly socket: string;
  readonly adminSocket: string;
  readonly admin: AdminClient;
  token(): Promise<string>;
  /** A connection of its own, closed after the test. */
  connect(): SdsClient;
  /** Makes an entry that this process matches; resolves to its id. */
  create(spiffeId: string, more?: Record<string, unknown>): Promise<string>;
}

export async function startInnerServer(
  t: TestContext,
  flags: Record<string, string> = {},
  clock = new TestClock(),
): Promise<InnerServer> {
  const folder = tempDir(t);
  const socket = path.join(folder, 'agent.sock');
  const dataDir = path.join(tempDir(t), 'data');
  const adminSocket = path.join(dataDir, 'admin.sock');
  const config = await loadServeConfig({
    flags: { trustDomain: 'ilinux.io', dataDir, socket, logLevel: 'silent', allowUnpinnedPeers: 'true', ...flags },
    env: {},
    uid: process.getuid!(),
    folder,
  });
  const server = await startServer(config, clock);
  t.after(() => server.close());
  const admin = connectAdmin({ socketPath: adminSocket });
  return {
    clock,
    server,
    dataDir,
    socket,
    adminSocket,
    admin,
    token: async () => (await readFile(path.join(dataDir, 'admin.token'), 'utf8')).trim(),
    connect() {
      const client = new SdsClient(socket);
      t.after(() => client.close());
      return client;
    },
    async create(spiffeId, more = {}) {
      const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
      const body = { spiffe_id: spiffeId, selectors, ...more };
      return (await admin.json<{ id: string }>('POST', '/v1/entries', { body })).id;
    },
  };
}
