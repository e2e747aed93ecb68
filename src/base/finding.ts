/** A problem that a check found, for the person who fixes it and for scripts. */

/** `error`: it does not work or is a security hole. `warning`: it works for now. `info`: it costs something. */
export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  /** The rule that is violated: a word that does not change once released, such as `sds-http2`. */
  readonly rule: string;
  readonly severity: Severity;
  /** The subject: a file, a socket, … */
  readonly place: string;
  /** The line in the file, from 1. */
  readonly line?: number;
  /** What is wrong. */
  readonly problem: string;
  /** The consequence. */
  readonly why: string;
  /** What to write or do instead, in words. */
  readonly fix: string;
  /** A shell command that does so, to be run on the same host by an authorized user; optional. */
  readonly command?: string | undefined;
}
