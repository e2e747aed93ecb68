/** The TLS certificate and key of a listener, from files that are read again when they change. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { type Clock, type Deadline, fileVersion, readTrustedFile, SidekeyError } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import { TLS_CONNECTIONS, TLS_PROTOCOL } from './tls-options.ts';

/** Paths of PEM files. */
export interface PemFiles {
  /** The server's certificate, then those above it. */
  readonly cert: string;
  readonly key: string;
}

/** How messages name the files. */
export interface TlsNames {
  /** Such as `the admin API`. */
  readonly listener: string;
  /** The flags of the two settings. */
  readonly certFlag: string;
  readonly keyFlag: string;
}

interface TlsPair {
  readonly cert: string;
  readonly key: string;
  /** Of the server's certificate, in milliseconds since the epoch. */
  readonly notAfter: number;
}

/** How often the files are compared with what was read, in milliseconds. */
const LOOK_MS = 10_000;

/** The state of the files, for reports. */
export interface TlsState {
  readonly files: PemFiles;
  /** When the certificate in use ends, in milliseconds since the epoch. */
  readonly notAfter: number;
  /** Why the files as they are now are not in use; undefined: they are. */
  readonly problem: string | undefined;
}

export class CertificateFiles {
  readonly #files: PemFiles;
  readonly #names: TlsNames;
  #pair: TlsPair;
  /** The versions of the files that were read last. */
  #versions: string;
  #problem: string | undefined;
  readonly #servers: (() => void)[] = [];

  private constructor(files: PemFiles, names: TlsNames, pair: TlsPair, versions: string) {
    this.#files = files;
    this.#names = names;
    this.#pair = pair;
    this.#versions = versions;
  }

  /** @throws ERR_CONFIG if a file can't be read or trusted, or the two are no pair */
  static async open(files: PemFiles, names: TlsNames): Promise<CertificateFiles> {
    const versions = await versionsOf(files);
    return new CertificateFiles(files, names, await readPair(files, names), versions);
  }

  /** A server whose new connections get the pair that is in use. */
  createServer(options: ServerOptions, listener: RequestListener): Server {
    const server = createServer({ ...options, ...TLS_CONNECTIONS, ...this.#context }, listener);
    this.#servers.push(() => server.setSecureContext(this.#context));
    return server;
  }

  get #context(): SecureContextOptions {
    const { cert, key } = this.#pair;
    return { ...TLS_PROTOCOL, cert, key };
  }

  get state(): TlsState {
    return { files: this.#files, notAfter: this.#pair.notAfter, problem: this.#problem };
  }

  /**
   * Reads the files again; true if the pair is another one.
   * @throws ERR_CONFIG as {@link open}; the former pair stays in use
   */
  async reload(): Promise<boolean> {
    this.#versions = await versionsOf(this.#files);
    let pair: TlsPair;
    try {
      pair = await readPair(this.#files, this.#names);
    } catch (thrown) {
      this.#problem = (thrown as Error).message;
      throw thrown;
    }
    this.#problem = undefined;
    if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) return false;
    this.#pair = pair;
    for (const change of this.#servers) change();
    return true;
  }

  /** Reloads whenever a file is another one or has other content. Returns a function that stops this. */
  watch(clock: Clock, log: Log): () => void {
    let deadline: Deadline | undefined;
    let stopped = false;
    const look = async () => {
      if ((await versionsOf(this.#files)) !== this.#versions && !stopped) await this.reloadTelling(log);
      if (!stopped) later();
    };
    const later = () => {
      deadline = clock.after(LOOK_MS, () => void look());
    };
    later();
    return () => {
      stopped = true;
      deadline?.cancel();
    };
  }

  /** {@link reload}, with the outcome in the log. Never rejects. */
  async reloadTelling(log: Log): Promise<void> {
    const { cert } = this.#files;
    const what = `the TLS certificate of ${this.#names.listener}`;
    try {
      if (!(await this.reload())) return;
      const not_after = new Date(this.#pair.notAfter).toISOString();
      log.info({ file: cert, not_after }, `${what} has changed: new connections get it`);
    } catch (err) {
      log.error({ err, file: cert }, `${what} was not reloaded: the former one stays in use`);
    }
  }
}

async function versionsOf({ cert, key }: PemFiles): Promise<string> {
  const versions = [cert, key].map((file) =>
    stat(file, { bigint: true }).then(fileVersion, (thrown: NodeJS.ErrnoException) => thrown.code ?? ''),
  );
  return (await Promise.all(versions)).join(' ');
}

const CERT_RULE = "it is a PEM file with the server's certificate, then those above it";
const KEY_RULE = "it is a PEM file with that certificate's key, not encrypted, of mode 0600";

/** @throws ERR_CONFIG */
async function readPair(files: PemFiles, { certFlag, keyFlag }: TlsNames): Promise<TlsPair> {
  const cert = await attempt(certFlag, files.cert, CERT_RULE, () =>
    readTrustedFile(files.cert, {
      closed: false,
      remedy: 'copy it to a file that only its owner can write',
      maxBytes: MAX,
    }),
  );
  const leaf = await attempt(certFlag, files.cert, CERT_RULE, async () => new X509Certificate(cert));
  const key = await attempt(keyFlag, files.key, KEY_RULE, () =>
    readTrustedFile(files.key, { closed: true, remedy: 'make a new key in a file of mode 0600' }),
  );
  const isOf = await attempt(keyFlag, files.key, KEY_RULE, async () => leaf.checkPrivateKey(createPrivateKey(key)));
  if (!isOf) throw fault(keyFlag, files.key, `it is not the key of the certificate in ${files.cert}`, KEY_RULE);
  // OpenSSL also refuses keys and digests that are too weak.
  await attempt(certFlag, files.cert, CERT_RULE, async () => createSecureContext({ ...TLS_PROTOCOL, cert, key }));
  return { cert, key, notAfter: leaf.validToDate.getTime() };
}

const MAX = 1024 * 1024;

async function attempt<T>(flag: string, file: string, rule: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    throw fault(flag, file, (thrown as Error).message, rule);
  }
}

function fault(flag: string, file: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: flag, problem: `${file}: ${problem}`, rule }], 'ERR_CONFIG');
}
