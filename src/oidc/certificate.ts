/** The TLS certificate of the provider, from files that are read again when they change. */

import { statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Clock, type Deadline, fileVersion, readTrustedFileNow, SidekeyError } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';

export interface CertificateFiles {
  /** The certificate, then those between it and its root, PEM. */
  readonly cert: string;
  /** Its key, PEM, not encrypted. */
  readonly key: string;
}

/** PEM. */
export interface TlsCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Time between two looks at the files, in milliseconds. */
const LOOK_MS = 10_000;
const MAX_BYTES = 1024 * 1024;

/** Reads both files. @throws ERR_CONFIG if one cannot be used, or they do not belong together */
export function readCertificate({ cert, key }: CertificateFiles): TlsCertificate {
  const read = (setting: string, file: string, closed: boolean) => {
    try {
      const remedy = `only root and the user of Sidekey may ${closed ? 'read and ' : ''}write it`;
      return readTrustedFileNow(file, { closed, remedy, maxBytes: MAX_BYTES });
    } catch (error) {
      throw new SidekeyError('ERR_CONFIG', `${setting} ${file}: ${(error as Error).message}`, { cause: error });
    }
  };
  const pair = { cert: read('--oidc-cert-file', cert, false), key: read('--oidc-key-file', key, true) };
  try {
    createSecureContext(pair);
    return pair;
  } catch (error) {
    const message = `--oidc-cert-file ${cert} and --oidc-key-file ${key} are no certificate with its key: ${(error as Error).message}`;
    throw new SidekeyError('ERR_CONFIG', message, { cause: error });
  }
}

/** Watches the files. If new ones cannot be used, the former certificate stays and the log has the reason. */
export class CertificateWatch {
  readonly #files: CertificateFiles;
  readonly #use: (certificate: TlsCertificate) => void;
  readonly #clock: Clock;
  readonly #log: Log;
  #version: string;
  #deadline: Deadline;

  constructor(files: CertificateFiles, use: (certificate: TlsCertificate) => void, clock: Clock, log: Log) {
    this.#files = files;
    this.#use = use;
    this.#clock = clock;
    this.#log = log;
    this.#version = versionOf(files);
    this.#deadline = this.#later();
  }

  close(): void {
    this.#deadline.cancel();
  }

  #later(): Deadline {
    return this.#clock.after(LOOK_MS, () => {
      this.#look();
      this.#deadline = this.#later();
    });
  }

  #look(): void {
    const version = versionOf(this.#files);
    if (version === this.#version) return;
    this.#version = version;
    try {
      this.#use(readCertificate(this.#files));
      this.#log.info({ file: this.#files.cert }, 'OIDC discovery: the changed TLS certificate is used');
    } catch (err) {
      this.#log.error(
        { err },
        'OIDC discovery: the changed TLS certificate cannot be used, the former one stays in use',
      );
    }
  }
}

function versionOf({ cert, key }: CertificateFiles): string {
  return [cert, key]
    .map((file) => {
      const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? 'none' : fileVersion(stat);
    })
    .join();
}
