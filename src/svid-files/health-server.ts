/** HTTP: whether all files are written and valid. The JSON is that of spiffe-helper, with the ends and the problems. */

import { once } from 'node:events';
import http from 'node:http';
import { NewestConnections } from '../base/index.ts';
import type { FilesHealth } from './keeper.ts';

export interface HealthPlan {
  /** Undefined: all addresses. */
  readonly host: string | undefined;
  readonly port: number;
  /** Whether no write has failed. */
  readonly livenessPath: string;
  /** Whether all files are written and have not ended. */
  readonly readinessPath: string;
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 64;
const REQUEST_MS = 5_000;

/** @throws Error if it can't listen there */
export async function startHealthServer(plan: HealthPlan, look: () => FilesHealth): Promise<HealthServer> {
  const { host, port, livenessPath, readinessPath } = plan;
  const server = http.createServer({
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: REQUEST_MS,
    maxHeaderSize: 8_192,
    connectionsCheckingInterval: 1_000,
  });
  const connections = new NewestConnections(server, MAX_CONNECTIONS);
  server.on('request', ({ method, url = '' }: http.IncomingMessage, response: http.ServerResponse) => {
    const [place] = url.split('?', 1);
    if (place !== livenessPath && place !== readinessPath) return void response.writeHead(404).end();
    if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
    const health = look();
    const isGood = place === readinessPath ? isReady(health) : isLive(health);
    const body = JSON.stringify(documentOf(health, isGood));
    response.writeHead(isGood ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(body);
  });
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      connections.closeAll();
      await closed;
    },
  };
}

function isReady({ parts }: FilesHealth): boolean {
  return parts.every(({ status }) => status === 'written');
}

function isLive({ parts }: FilesHealth): boolean {
  return parts.every(({ status }) => status !== 'failed');
}

function documentOf({ parts, problems }: FilesHealth, isGood: boolean): object {
  const x509 = parts.find(({ kind }) => kind === 'x509');
  const others = parts.filter(({ kind }) => kind !== 'x509');
  return {
    status: isGood ? 'OK' : 'Service Unavailable',
    health: {
      file_write_statuses: {
        ...(x509 === undefined ? {} : { x509_write_status: x509.status }),
        jwt_write_status: Object.fromEntries(others.map(({ files, status }) => [files[0]!, status])),
      },
      files: parts.flatMap(({ files, status, endsAt }) =>
        files.map((file) => ({
          file,
          status,
          expires_at: endsAt === undefined ? null : new Date(endsAt).toISOString(),
        })),
      ),
      problems,
    },
  };
}
