/** Runs the real thing: `bin/sidekey serve` in directories of its own, and an HTTP client for its admin socket. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launcherWith } from '../../scripts/launcher-with.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { assertDocumented } from './documented.ts';

export const ROOT = path.resolve(import.meta.dirname, '../..');
export const TRUST_DOMAIN = 'ilinux.io';

export interface Place {
  readonly directory: string;
  readonly dataDir: string;
  readonly socket: string;
  readonly adminSocket: string;
  /** By default {@link TRUST_DOMAIN}. */
  readonly trustDomain?: string;
}

/** Directories for one server, removed when the test ends. */
export function makePlace(t: Pick<TestContext, 'after'>): Place {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-'));
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return {
    directory,
    dataDir: path.join(directory, 'data'),
    socket: path.join(directory, 'run', 'agent.sock'),
    adminSocket: path.join(directory, 'data', 'admin.sock'),
  };
}

export interface Served extends Place {
  readonly pid: number;
  /** Lines of its log so far. */
  readonly log: Record<string, unknown>[];
  /** The first line with this message, now or later; rejects when the server ends before. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** The first line whose message is like this, now or later. */
  loggedLike(message: RegExp): Promise<Record<string, unknown>>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  request(method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly body: any;
}

/** Starts a server and waits until it serves. */
export async function serve(
  t: Pick<TestContext, 'after'>,
  options: {
    place?: Place;
    flags?: readonly string[];
    logLevel?: string;
    env?: Record<string, string>;
    /** Node's own flags, besides those of bin/sidekey. */
    nodeFlags?: readonly string[];
    /** Words of a command that executes the server, such as `setpriv …`. */
    launcher?: readonly string[];
    /** Its log goes elsewhere. */
    silent?: boolean;
  } = {},
): Promise<Served> {
  const place = options.place ?? makePlace(t);
  const flags = [...(options.flags ?? []), '--log-level', options.logLevel ?? 'debug'];
  const child = spawnServe(place, flags, options.env, options);
  const served = watch(child, place);
  t.after(() => served.stop('SIGKILL'));
  if (options.silent === true) await ready(served);
  else await served.logged('serving');
  return served;
}

/** Asks until it serves. */
async function ready({ request }: Served): Promise<void> {
  for (;;) {
    const answer = await request('GET', '/readyz').catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(20);
  }
}

/** @param launcher a program, with its arguments, that executes the server in some surroundings */
export function spawnServe(
  place: Place,
  flags: readonly string[],
  env: Record<string, string> = {},
  { nodeFlags = [], launcher = [] }: { nodeFlags?: readonly string[]; launcher?: readonly string[] } = {},
): ChildProcess {
  const args = serveArguments(place, flags);
  // So that tests run on kernels before 6.5 too; a launcher's surroundings are the test's own affair.
  if (launcher.length === 0 && !probeKernel().pinsPeers) args.push('--allow-unpinned-peers');
  const sidekey =
    nodeFlags.length === 0
      ? path.join(ROOT, 'bin/sidekey')
      : launcherWith(ROOT, mkdtempSync(path.join(place.directory, 'launcher-')), nodeFlags);
  const [program, ...words] = [...launcher, sidekey, ...args];
  return spawn(program!, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}

/** The arguments of `sidekey` for a server in this place. */
export function serveArguments(
  { dataDir, socket, adminSocket, trustDomain = TRUST_DOMAIN }: Place,
  flags: readonly string[] = [],
): string[] {
  const place = ['--data-dir', dataDir, '--socket', socket, '--admin-socket', adminSocket];
  return ['serve', '--trust-domain', trustDomain, ...place, ...flags];
}

/** Reads the log of a started server or agent. */
export function watch(child: ChildProcess, place: Place): Served {
  const log: Record<string, unknown>[] = [];
  const waiting = new Map<string, PromiseWithResolvers<Record<string, unknown>>>();
  const likes = new Map<RegExp, PromiseWithResolvers<Record<string, unknown>>>();
  let stderr = '';
  let rest = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const entry = JSON.parse(line) as Record<string, unknown>;
      log.push(entry);
      waiting.get(entry.msg as string)?.resolve(entry);
      for (const [like, { resolve }] of likes) if (like.test(String(entry.msg))) resolve(entry);
    }
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  void ended.then(([code, signal]) => {
    for (const { reject } of [...waiting.values(), ...likes.values()])
      reject(new Error(`sidekey ended (${code ?? signal}): ${stderr}`));
  });
  return {
    ...place,
    pid: child.pid!,
    log,
    logged(message) {
      const there = log.find((entry) => entry.msg === message);
      if (there !== undefined) return Promise.resolve(there);
      let waiter = waiting.get(message);
      if (waiter === undefined) {
        waiter = Promise.withResolvers();
        waiter.promise.catch(() => undefined);
        waiting.set(message, waiter);
      }
      return waiter.promise;
    },
    loggedLike(message) {
      const there = log.find(({ msg }) => message.test(String(msg)));
      if (there !== undefined) return Promise.resolve(there);
      const waiter = Promise.withResolvers<Record<string, unknown>>();
      waiter.promise.catch(() => undefined);
      likes.set(message, waiter);
      return waiter.promise;
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const [code, by] = await ended;
      return { code, signal: by };
    },
    request: (method, url, body, headers = {}) => requestAdmin(place.adminSocket, method, url, body, headers),
  };
}

/** One request on an admin socket; the answer is one that the OpenAPI document describes. */
export async function requestAdmin(...asked: Parameters<typeof requestOn>): Promise<Answer> {
  const [, method, url] = asked;
  const { text, ...answer } = await requestOn(...asked);
  await assertDocumented({ method, url, text, ...answer });
  return answer;
}

/** One request to an HTTP server on a Unix socket. */
export function requestOn(
  socketPath: string,
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer & { readonly text: string }> {
  return new Promise((resolve, reject) => {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const req = http.request({ socketPath, method, path: url, headers: { ...json, ...headers } }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      // The server may end in the middle of an answer.
      res.on('error', reject);
      res.on('end', () => {
        const { statusCode, headers } = res;
        const isJson = /[/+]json/.test(headers['content-type'] ?? '');
        resolve({ status: statusCode!, headers, body: isJson ? JSON.parse(text) : text, text });
      });
    });
    req.on('error', reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
