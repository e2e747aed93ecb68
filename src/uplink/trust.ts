/** By what an agent knows a server that it has not seen before: a file of roots, a URL, or nothing but the server's word. */

import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { readTrustedFile, refuseDeep, SidekeyError, version } from '../base/index.ts';
import { parseBundleDocument, parseBundlePem } from '../registry/index.ts';
import { pemOfAll, type TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { identityFault, nameOf, type ServerAddress } from './connection.ts';
import { Failure, failureOf, IDENTITY } from './failure.ts';
import type { ServerTrust } from './types.ts';

const MAX_BYTES = 1024 * 1024;
const FETCH_MS = 10_000;
const MOST_REDIRECTS = 3;
const PEEK_MS = 5_000;

export interface TrustParts {
  readonly trustDomain: TrustDomain;
  readonly now: () => number;
  readonly log: Log;
}

/**
 * The roots of a server's trust domain, PEM.
 * @throws ERR_CONFIG if the file or the document cannot be used; Failure if the URL, or the server, can't be reached
 */
export async function bootstrapRoots(trust: ServerTrust, server: ServerAddress, parts: TrustParts): Promise<string> {
  if ('insecure' in trust) return peek(server, parts);
  if ('file' in trust) {
    try {
      const remedy = 'only root and the user of Sidekey may write it, since it decides which server the agent believes';
      return rootsOf(await readTrustedFile(trust.file, { closed: false, remedy, maxBytes: MAX_BYTES }), parts);
    } catch (cause) {
      throw new SidekeyError('ERR_CONFIG', `--trust-bundle ${trust.file}: ${(cause as Error).message}`, { cause });
    }
  }
  const text = await fetchText(trust.url, trust.caFile);
  try {
    return rootsOf(text, parts);
  } catch (cause) {
    throw new SidekeyError('ERR_CONFIG', `--trust-bundle-url ${trust.url}: ${(cause as Error).message}`, { cause });
  }
}

/** @param text PEM, or a SPIFFE bundle in JSON @throws Error */
function rootsOf(text: string, { trustDomain, now, log }: TrustParts): string {
  const warn = ({ path, problem, rule }: { path: string; problem: string; rule: string }) =>
    log.warn({ path, problem, rule }, 'the bundle that the server is known by has something odd');
  const rules = { trustDomain, now: now(), warn };
  const isJson = text.trimStart().startsWith('{');
  const { x509Authorities } = isJson ? parseBundleDocument(readJson(text), rules) : parseBundlePem(text, rules);
  return x509Authorities.map(pemBlock).join('');
}

function readJson(text: string): unknown {
  refuseDeep(Buffer.from(text));
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
}

export function pemBlock(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The text at the URL. Redirects lead to https only. @throws Failure; ERR_CONFIG */
async function fetchText(url: string, caFile: string | undefined): Promise<string> {
  const ca = caFile === undefined ? undefined : readFileSync(caFile);
  const signal = AbortSignal.timeout(FETCH_MS);
  let at = new URL(url);
  for (let redirects = 0; ; redirects += 1) {
    if (at.protocol !== 'https:') {
      throw new SidekeyError(
        'ERR_CONFIG',
        `--trust-bundle-url ${url}: ${at.protocol}// is not https, so anybody could answer`,
      );
    }
    if (redirects > MOST_REDIRECTS) throw new Failure('refused', `${url} redirects more than ${MOST_REDIRECTS} times`);
    try {
      const answer = await get(at, ca, signal);
      if (typeof answer === 'string') return answer;
      at = answer;
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      const why = signal.aborted ? `no whole answer within ${FETCH_MS / 1000} s` : (cause as Error).message;
      throw new Failure('unreachable', `the bundle cannot be fetched from ${url}: ${why}`, { cause });
    }
  }
}

function get(url: URL, ca: Buffer | undefined, signal: AbortSignal): Promise<string | URL> {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'application/json, application/x-pem-file', 'user-agent': `sidekey/${version()}` };
    const options = { headers, agent: false, minVersion: 'TLSv1.2', signal, ...(ca && { ca }) } as const;
    https
      .get(url, options, (response) => {
        read(url, response).then(resolve, (error: unknown) => {
          response.destroy();
          reject(error);
        });
      })
      .on('error', reject);
  });
}

async function read(url: URL, response: IncomingMessage): Promise<string | URL> {
  const { statusCode = 0, headers } = response;
  if (statusCode >= 300 && statusCode < 400) {
    const { location = '' } = headers;
    response.destroy();
    if (!URL.canParse(location, url.href))
      throw new Failure('refused', `${url.href} redirects without a valid Location`);
    return new URL(location, url);
  }
  if (statusCode !== 200) throw new Failure('refused', `${url.href} answers with the status ${statusCode}`);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MAX_BYTES) throw new Failure('refused', `${url.href} answers with more than ${MAX_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/**
 * The certificates that a server shows, without any proof but its SPIFFE ID. The agent then joins over connections that are
 * under these alone. @throws Failure
 */
function peek(server: ServerAddress, { trustDomain, now }: TrustParts): Promise<string> {
  return new Promise((resolve, reject) => {
    const { host, port } = server;
    const socket = tls.connect({
      ...{ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'], minVersion: 'TLSv1.2' },
      ...(net.isIP(host) === 0 ? { servername: host } : {}),
    });
    const end = (finish: () => void) => {
      clearTimeout(late);
      socket.destroy();
      finish();
    };
    const fail = (error: Error) => end(() => reject(failureOf(error, nameOf(server), now())));
    const late = setTimeout(
      () => fail(new Failure('unreachable', `${nameOf(server)}: no connection within ${PEEK_MS / 1000} s`)),
      PEEK_MS,
    );
    socket.on('error', (error) => fail(new Failure('unreachable', `${nameOf(server)}: ${error.message}`)));
    socket.on('secureConnect', () => {
      const leaf = socket.getPeerX509Certificate();
      const fault =
        leaf === undefined
          ? new Error(`${IDENTITY}the server shows no certificate`)
          : identityFault(leaf.raw, trustDomain);
      if (fault !== undefined) {
        fail(new Failure('identity', `${nameOf(server)}: ${fault.message.slice(IDENTITY.length)}`));
        return;
      }
      end(() => resolve(pemOfAll([leaf!])));
    });
  });
}
