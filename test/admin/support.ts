/** The admin API on real sockets, over a registry on a real database. */

import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { type Admin, type AdminOptions, createAdmin } from '../../src/admin/admin.ts';
import type { Readiness } from '../../src/admin/health.ts';
import { RequestCounts } from '../../src/admin/request-counts.ts';
import { listenOnTcp } from '../../src/admin/tcp.ts';
import { peerCredentials } from '../../src/attest/socket-peer.ts';
import { Ledger } from '../../src/delivery/ledger.ts';
import { openFederation } from '../../src/federation/open.ts';
import { Decisions } from '../../src/identity/decisions.ts';
import type { Store } from '../../src/registry/store/store.ts';
import type { Registry } from '../../src/registry/types.ts';
import { listenOnSocket } from '../../src/server/socket-file.ts';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { open, SILENT, TRUST_DOMAIN } from '../registry/support.ts';
import type { TestClock } from '../support/clock.ts';
import { assertDocumented } from '../support/documented.ts';
import { RegistryRevoker } from '../support/registry-revoker.ts';
import { tempDir } from '../support/temp-dir.ts';

export const TOKEN = 'a-token-that-only-the-test-knows';

/** An authority without any authorities. */
/** How messages name the TLS files of the admin API. */
export const ADMIN_TLS = { listener: 'the admin API', certFlag: '--admin-tls-cert', keyFlag: '--admin-tls-key' };

export const NO_CA = {
  authorities: () => [],
  whyNotRevocable: () => undefined,
  startRevocation: () => () => undefined,
  revocationLists: () => [],
  taint: async () => undefined,
  import: async () => undefined,
  carry: async () => undefined,
  drop: async () => undefined,
  upstream: () => undefined,
  onMove: () => () => undefined,
  rotate: async () => undefined,
};

/** A server whose agent socket does not accept yet. */
export const NOT_READY: Readiness = {
  ready: false,
  parts: [
    { name: 'authority', ready: true, since: Date.parse('2026-11-30T10:00:00Z'), reason: undefined },
    { name: 'socket', ready: false, since: Date.parse('2026-11-30T10:00:01Z'), reason: 'it does not accept yet' },
  ],
};

export interface Running {
  readonly admin: Admin;
  readonly registry: Registry;
  readonly store: Store;
  /** Of the admin API, if the options have no other one. */
  readonly revoker: RegistryRevoker;
  /** The database. */
  readonly file: string;
  readonly clock: TestClock;
  readonly socketPath: string;
  readonly tcp: AddressInfo;
}

/** A root's certificate is no matter here: any bytes stand for the bundle's PEM. */
export const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

/** @param existing a database file to open again */
export async function startAdmin(
  t: TestContext,
  options: Partial<AdminOptions> = {},
  existing?: string,
): Promise<Running> {
  const { registry, store, clock, file } = await open(t, existing === undefined ? {} : { file: existing });
  const empty = makeTrustBundle({ trustDomain: TRUST_DOMAIN, roots: [], sequenceNumber: 7, refreshHint: 300 });
  const bundle = { ...empty, pem: Buffer.from(PEM), authoritiesPem: Buffer.from(PEM) };
  const revoker = new RegistryRevoker({ registry, issuances: store.issuances, clock });
  const opened = openFederation({
    ...{ registry, ca: { bundle: () => bundle }, clock, log: SILENT, minRefresh: 1 },
    allowed: [{ address: '127.0.0.0', prefix: 8 }],
  });
  t.after(() => opened.close());
  const admin = createAdmin({
    registry,
    revoker,
    federation: opened.federation,
    ca: { ...NO_CA, bundle: () => bundle },
    entryRules: {
      trustDomain: TRUST_DOMAIN,
      allowWeakSelectors: false,
    },
    warningsOf: () => [],
    ledger: new Ledger(createLog('silent')),
    decisions: new Decisions({ store: store.decisions, clock, log: SILENT }),
    explain: {
      identities: {
        bundle: () => bundle,
        federated: () => [],
        holders: () => 0,
        withheld: () => [],
        unrendered: () => [],
        render: () => assert.fail(),
        lapsesOf: () => [],
        preview: async () => ({ callers: [], more: 0, unread: 0 }),
      },
      inspect: () => Promise.reject(new Error('no attestors here')),
      mainPid: undefined,
    },
    judge: async () => [],
    backup: () => Promise.reject(new Error('no store here')),
    self: {
      look: () => Promise.reject(new Error('no machine here')),
      issuances: store.issuances,
      whyNever: () => undefined,
      meant: () => undefined,
      entriesFile: undefined,
      unreachable: async () => ({ users: [], unfinished: undefined }),
      uidOf: () => undefined,
      usage: () => [],
    },
    maxConnections: 1_000,
    onIssued: () => () => undefined,
    ready: () => ({ ready: true, parts: [] }),
    metrics: async () => ({ type: 'text/plain', text: '' }),
    logLevel: { setting: 'info', level: () => 'info', change: () => undefined },
    requests: new RequestCounts(),
    counters: new Counters(),
    log: SILENT,
    clock,
    version: '1.2.3',
    unixCaller: (socket) => {
      const { uid, pid } = peerCredentials(socket);
      return { uid, pid, contained: undefined };
    },
    token: () => TOKEN,
    audit: store.audit,
    onRefused: () => undefined,
    hosts: ['sidekey.example'],
    ...options,
  });
  t.after(() => admin.close());
  const socketPath = path.join(tempDir(t), 'admin.sock');
  await listenOnSocket(admin.unix, { path: socketPath, mode: 0o600 });
  const tcp = await listenOnTcp(admin.tcp, { host: '127.0.0.1', port: 0, beyondLoopback: false });
  return { admin, registry, store, revoker, file, clock, socketPath, tcp };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly body: any;
}

export interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Buffer;
}

/** Where a call goes: the socket's path, or a port on loopback. The answer is one that the OpenAPI document describes. */
export async function call(where: string | number, method: string, url: string, options: Call = {}): Promise<Answer> {
  const answer = await send(where, method, url, options);
  await assertDocumented({ method, url, ...answer });
  return answer;
}

function send(where: string | number, method: string, url: string, options: Call): Promise<Answer> {
  const payload = options.json === undefined ? options.raw : JSON.stringify(options.json);
  const headers: Record<string, string | number> = {
    ...(options.json === undefined ? {} : { 'content-type': 'application/json' }),
    ...options.headers,
  };
  // Node's client leaves it out where a method has no body as a rule.
  if (payload !== undefined && !('transfer-encoding' in headers))
    headers['content-length'] = Buffer.byteLength(payload);
  const place = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ ...place, method, path: url, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = /[/+]json/.test(response.headers['content-type'] ?? '') && text !== '';
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          text,
          body: isJson ? JSON.parse(text) : undefined,
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

/** An entry as a caller writes it. */
export function entry(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { spiffe_id: `spiffe://ilinux.io/${name}`, selectors: [{ type: 'unix', value: 'uid:1000' }], ...more };
}
