/** Fetches of a bundle as other trust domains do it. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { checkServerIdentity } from 'node:tls';
import { promisify } from 'node:util';
import { kept } from '../support/kept.ts';
import { tempDir } from '../support/temp-dir.ts';
import { foundOr } from '../workload-api/clients/clients.ts';

export interface Document {
  readonly spiffe_sequence: number;
  readonly spiffe_refresh_hint: number;
  readonly keys: readonly { readonly use: string; readonly kid?: string; readonly x5c?: readonly string[] }[];
}

export interface Fetched {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** Of the certificate: `URI:spiffe://…`. */
  readonly names: string | undefined;
  /** Lower-case hex. */
  readonly serial: string;
}

export interface FetchOptions {
  /** PEM; undefined: every certificate is accepted. */
  readonly roots?: string | undefined;
  /** The SPIFFE ID that the endpoint must have; undefined: a certificate for the host name. */
  readonly id?: string | undefined;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
}

/** One request on a connection of its own. @throws if the certificate is refused */
export function fetchFrom(port: number, options: FetchOptions = {}): Promise<Fetched> {
  const { roots, id, method = 'GET', path = '/', body } = options;
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host: '127.0.0.1', port, method, path, agent: false },
        ...(roots === undefined ? { rejectUnauthorized: false } : { ca: roots }),
        headers: body === undefined ? {} : { 'content-length': body.length },
        checkServerIdentity: (host, certificate) => {
          if (id === undefined) return checkServerIdentity(host, certificate);
          const { subjectaltname: names } = certificate;
          return names === `URI:${id}` ? undefined : new Error(`unexpected ID ${names}`);
        },
      },
      async (response) => {
        const certificate = (response.socket as import('node:tls').TLSSocket).getPeerCertificate();
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        const { statusCode: status, headers } = response;
        const serial = (certificate.serialNumber ?? '').toLowerCase();
        resolve({ status: status!, headers, body: text, names: certificate.subjectaltname, serial });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

export async function documentFrom(port: number, options: FetchOptions = {}): Promise<Document> {
  return JSON.parse((await fetchFrom(port, options)).body) as Document;
}

/** The roots in a document, PEM. */
export function rootsOf({ keys }: Document): string {
  return keys
    .flatMap(({ x5c = [] }) => x5c)
    .map((der) => `-----BEGIN CERTIFICATE-----\n${der}\n-----END CERTIFICATE-----\n`)
    .join('');
}

const GO = path.join(import.meta.dirname, 'go-spiffe');
const run = promisify(execFile);

export interface GoFetched {
  readonly x509?: number;
  readonly jwt?: number;
  readonly sequence?: number;
  /** Seconds. */
  readonly hint?: number;
  readonly error?: string;
}

/** The program that runs as long as the test, told line by line. */
interface Talk {
  /** The next line that it prints. */
  next(): Promise<GoFetched & { readonly port?: number }>;
  tell(line: string): void;
}

/** go-spiffe's federation package, or why there is none. */
export async function goSpiffe(t: TestContext) {
  const found = await foundOr(() =>
    kept(GO, async (into) => {
      await run('go', ['build', '-o', path.join(into, 'peer'), '.'], { cwd: GO, timeout: 240_000 });
    }),
  );
  if ('skip' in found) return found;
  const program = path.join(found.found, 'peer');
  const folder = tempDir(t);
  const ask = async (...args: string[]) => JSON.parse((await run(program, ['fetch', ...args])).stdout) as GoFetched;
  let files = 0;
  const file = (text: string) => {
    files += 1;
    const name = path.join(folder, `${files}`);
    writeFileSync(name, text);
    return name;
  };
  const filesOf = ({ bundle, leaf }: GoServed) => [file(JSON.stringify(bundle)), file(leaf.cert), file(leaf.key)];
  return {
    web: (trustDomain: string, url: string, roots: string) => ask(trustDomain, url, 'web', file(roots)),
    spiffe: (trustDomain: string, url: string, id: string, bundle: Document) =>
      ask(trustDomain, url, 'spiffe', id, file(JSON.stringify(bundle))),
    /** Polls at the refresh hint; each line is an update. */
    watch: (trustDomain: string, url: string, id: string, bundle: Document) =>
      talk(t, program, ['watch', trustDomain, url, 'spiffe', id, file(JSON.stringify(bundle))]),
    /** A bundle endpoint until the test ends. */
    serve: async (trustDomain: string, profile: 'web' | 'spiffe', served: GoServed) => {
      const [bundle, cert, key] = filesOf(served);
      const endpoint = talk(t, program, ['serve', trustDomain, bundle!, profile, cert!, key!]);
      const { port, error } = await endpoint.next();
      if (port === undefined) throw new Error(error);
      const replace = async (next: GoServed) => {
        endpoint.tell(filesOf(next).join(' '));
        const { error: fault } = await endpoint.next();
        if (fault !== undefined) throw new Error(fault);
      };
      return { url: `https://127.0.0.1:${port}/`, replace };
    },
  };
}

export interface GoServed {
  /** As JSON. */
  readonly bundle: object;
  readonly leaf: { readonly cert: string; readonly key: string };
}

function talk(t: TestContext, program: string, args: readonly string[]): Talk {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  t.after(async () => {
    child.stdin.end();
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { done, value } = await lines.next();
      if (done === true) throw new Error('the program has ended');
      return JSON.parse(value) as GoFetched;
    },
    tell: (line) => void child.stdin.write(`${line}\n`),
  };
}
