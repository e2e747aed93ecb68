/** An Envoy of the demo: its own link to the binary, its bootstrap, and its admin interface. */

import { constants } from 'node:fs';
import { copyFile, link, writeFile } from 'node:fs/promises';
import { connect } from 'node:tls';
import { stringify } from 'yaml';
import type { Json } from './bootstraps.ts';
import { wait } from './expect.ts';
import { call } from './http.ts';
import type { Processes, Running } from './processes.ts';

export interface EnvoyPlaces {
  readonly name: string;
  /** Its own path of the binary, so that `unix:path` distinguishes it from the others. */
  readonly binary: string;
  readonly config: string;
  /** The port of its admin interface on loopback. */
  readonly adminPort: number;
}

/** An X.509-SVID from Envoy's admin interface. */
export interface ShownSvid {
  readonly uri: string;
  readonly serial: string;
}

/** Envoy's counters for one secret. */
export interface SecretState {
  /** The number of updates. */
  readonly applied: number;
  /** The number of timeouts while waiting for it at start. */
  readonly givenUp: number;
}

export class DemoEnvoy implements EnvoyPlaces {
  readonly name: string;
  readonly binary: string;
  readonly config: string;
  readonly adminPort: number;
  #running: Running | undefined;

  constructor({ name, binary, config, adminPort }: EnvoyPlaces) {
    this.name = name;
    this.binary = binary;
    this.config = config;
    this.adminPort = adminPort;
  }

  get pid(): number {
    return this.#running!.pid;
  }

  /**
   * Links the binary, or copies it. While it is copied no process may be started: the child would have the file open for
   * writing for a moment, and the start of this Envoy would fail with ETXTBSY.
   */
  async place(binary: string): Promise<void> {
    await linkOrCopy(binary, this.binary);
  }

  /** Writes the bootstrap, and starts. */
  async start(processes: Processes, bootstrap: Json): Promise<void> {
    await writeFile(this.config, stringify(bootstrap, { aliasDuplicateObjects: false }));
    const args = [
      '--config-path',
      this.config,
      '--disable-hot-restart',
      '--concurrency',
      '2',
      '--log-level',
      'warning',
    ];
    this.#running = await processes.start(this.name, this.binary, args);
  }

  async stop(): Promise<void> {
    await this.#running!.stop();
  }

  /** `LIVE` once its listeners are open. */
  async state(): Promise<string> {
    return (await this.#admin('/ready')).trim();
  }

  async isLive(): Promise<void> {
    await wait(`${this.name} to be LIVE`, { look: () => this.state(), until: (state) => state === 'LIVE' });
  }

  /** A counter or gauge; 0 if Envoy has not created it yet. */
  async counter(name: string): Promise<number> {
    return (await this.#stats(name)).get(name) ?? 0;
  }

  async secret(name: string): Promise<SecretState> {
    const prefix = `sds.${name.replace('://', '_')}.`;
    const stats = await this.#stats(prefix);
    const count = (stat: string) => stats.get(`${prefix}${stat}`) ?? 0;
    return { applied: count('update_success'), givenUp: count('init_fetch_timeout') };
  }

  /** The SVID that it uses now. */
  async svid(): Promise<ShownSvid | undefined> {
    const { certificates } = JSON.parse(await this.#admin('/certs')) as Certs;
    for (const { serial_number: serial, subject_alt_names: names } of certificates.flatMap((c) => c.cert_chain)) {
      const uri = names.find((name) => name.uri !== undefined)?.uri;
      if (uri !== undefined) return { uri, serial };
    }
    return undefined;
  }

  async hasSvid(expected: string, otherThan?: string): Promise<ShownSvid> {
    const shown = await wait(`${this.name} to have ${otherThan === undefined ? 'an' : 'a new'} SVID for ${expected}`, {
      look: () => this.svid(),
      until: (svid) => svid?.uri === expected && svid.serial !== otherThan,
    });
    return shown!;
  }

  /** The stats whose names begin with `prefix`. */
  async #stats(prefix: string): Promise<Map<string, number>> {
    const text = await this.#admin(`/stats?filter=${encodeURIComponent(`^${prefix.replaceAll('.', '\\.')}`)}`);
    return new Map(
      text
        .split('\n')
        .map((line) => line.split(': '))
        .map(([name, value]) => [name!, Number(value)]),
    );
  }

  async #admin(place: string): Promise<string> {
    return (await call(`http://127.0.0.1:${this.adminPort}${place}`)).body;
  }
}

interface Certs {
  readonly certificates: {
    readonly cert_chain: { serial_number: string; subject_alt_names: { uri?: string }[] }[];
  }[];
}

/** Copies if no hard link is possible: on another file system, or for another owner's file. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_FICLONE));
}

/** True if a TLS handshake with this loopback port succeeds, with any certificate. */
export function handshakes(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}
