/** The published file: the bundle document for people who serve it elsewhere, such as from a CDN. */

import {
  backoff,
  type Clock,
  type Deadline,
  describeLoose,
  readRegularFile,
  SidekeyError,
  whoCanChange,
  writeFileAtomic,
} from '../../base/index.ts';
import type { CertificateAuthority } from '../../ca/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { documentText } from './document.ts';
import type { PublishedFileState, PublishingCounts } from './state.ts';

export interface PublishedFileOptions {
  /** An absolute path. */
  readonly file: string;
  readonly ca: Pick<CertificateAuthority, 'bundle' | 'onBundleChange'>;
  readonly counts: PublishingCounts;
  readonly clock: Clock;
  readonly log: Log;
}

/** It is public, and other programs upload it. */
const MODE = 0o644;
/** A larger file is not ours. */
const MAX_BYTES = 1024 * 1024;
/** Time between two looks whether somebody else has changed or removed it, in milliseconds. */
const LOOK_MS = 60_000;
const OPEN_WARNING =
  'other users can change the published bundle, and with it impersonate every workload of this trust domain to the others';
const RETRY_FIRST_MS = 1_000;
const RETRY_LIMIT_MS = 30_000;

export class PublishedFile {
  readonly #options: PublishedFileOptions;
  readonly #stop: () => void;
  #sequence: number | undefined;
  #problem: string | undefined;
  #failures = 0;
  #next: Deadline | undefined;

  private constructor(options: PublishedFileOptions) {
    this.#options = options;
    this.#stop = options.ca.onBundleChange(() => this.#keep());
  }

  /** Writes the file. @throws ERR_CONFIG if it can't be written */
  static open(options: PublishedFileOptions): PublishedFile {
    const file = new PublishedFile(options);
    try {
      file.#write();
    } catch (error) {
      file.close();
      const problem = `${options.file} cannot be written: ${(error as Error).message}`;
      const rule = "its directory exists, and Sidekey's user may write in it";
      throw SidekeyError.badInput([{ path: '--federation-publish-file', problem, rule }], 'ERR_CONFIG');
    }
    const { openTo } = file.state;
    if (openTo.length > 0) options.log.warn({ file: options.file, by: openTo }, OPEN_WARNING);
    file.#lookLater();
    return file;
  }

  get state(): PublishedFileState {
    const { file } = this.#options;
    return { file, sequence: this.#sequence, problem: this.#problem, openTo: openTo(file) };
  }

  close(): void {
    this.#stop();
    this.#next?.cancel();
  }

  /** Writes it if it does not have the present document; looks again later. */
  #keep(): void {
    const { file, counts, log } = this.#options;
    try {
      this.#write();
      this.#problem = undefined;
      this.#failures = 0;
    } catch (err) {
      counts.writes.add('failed');
      this.#failures += 1;
      this.#problem = (err as Error).message;
      log.error({ err, file }, 'the bundle could not be published in the file, which is tried again');
    }
    this.#lookLater();
  }

  #write(): void {
    const { file, ca, counts, log } = this.#options;
    const bundle = ca.bundle();
    const text = documentText(bundle);
    if (read(file) !== text) {
      if (this.#sequence === bundle.documentNumber && this.#problem === undefined) {
        log.warn({ file }, 'the published bundle was changed or removed by somebody else: it is written again');
      }
      writeFileAtomic(file, text, MODE);
      counts.writes.add('ok');
      log.info({ file, sequence: bundle.documentNumber }, 'the bundle is published in the file');
    }
    this.#sequence = bundle.documentNumber;
  }

  #lookLater(): void {
    const delay = this.#failures === 0 ? LOOK_MS : backoff(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    this.#next?.cancel();
    this.#next = this.#options.clock.after(delay, () => this.#keep());
  }
}

/** Who else can change it, for display. */
function openTo(file: string): string[] {
  try {
    return whoCanChange(file).map(describeLoose);
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Undefined if it can't be read. */
function read(file: string): string | undefined {
  try {
    return readRegularFile(file, MAX_BYTES).toString('utf8');
  } catch {
    return undefined;
  }
}
