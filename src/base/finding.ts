/** What a check found to be wrong: for a person who mends it now, and for scripts. */

/** `error`: it does not work, or lets in who should not be. `warning`: it works, until it doesn't. `info`: it costs. */
export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  /** Which rule is broken: a word that does not change once released, such as `sds-http2`. */
  readonly rule: string;
  readonly severity: Severity;
  /** What it is about: a file, a socket, … */
  readonly place: string;
  /** In that file, from 1. */
  readonly line?: number;
  /** What is wrong there. */
  readonly problem: string;
  /** What comes of it. */
  readonly why: string;
  /** What to write or to do instead, in words. */
  readonly fix: string;
  /** A command line (sh) that does so, to be run as it is where this was found, by somebody who may; not everything has one. */
  readonly command?: string | undefined;
}
