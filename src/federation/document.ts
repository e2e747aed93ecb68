/** Reads the document of a bundle endpoint. */

import { refuseDeep, SidekeyError } from '../base/index.ts';
import { type BundleInput, parseBundleDocument } from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import { FetchError } from './fetch-error.ts';

export interface ReadDocument {
  readonly input: BundleInput;
  /** Keys and numbers that were ignored: place and rule. Values are left out, since they are the partner's. */
  readonly ignored: readonly string[];
}

/** Maximum number of listed warnings. */
const MOST_IGNORED = 20;

/** @throws FetchError without any of the document's text */
export function readDocument(body: Buffer, trustDomain: TrustDomain, now: number): ReadDocument {
  const ignored: string[] = [];
  const note = (path: string, rule: string) => {
    if (ignored.length < MOST_IGNORED) ignored.push(`${path}: ${rule}`);
  };
  try {
    const warn = ({ path, rule }: { path: string; rule: string }) => note(path, rule);
    return { input: parseBundleDocument(parse(body), { trustDomain, now, warn, polled: true }), ignored };
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    const [first] = thrown.problems;
    const what = first === undefined ? 'it is nested too deeply' : `${first.path}: ${first.rule}`;
    throw new FetchError('document', `the document is not a SPIFFE bundle: ${what.replace(/^: /, '')}`);
  }
}

/** Sequence numbers beyond 2^53 are bigints, because a number would lose their last digits. */
function parse(body: Buffer): unknown {
  refuseDeep(body);
  try {
    // A byte order mark is not JSON.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
    const value: unknown = JSON.parse(text);
    return hasLargeNumber(value) ? parseExactly(text) : value;
  } catch {
    // The parser's message repeats a part of the text.
    throw new FetchError('document', body.length === 0 ? 'the document is empty' : 'the document is not JSON in UTF-8');
  }
}

function hasLargeNumber(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { spiffe_sequence: sequence } = value as { spiffe_sequence?: unknown };
  return typeof sequence === 'number' && !Number.isSafeInteger(sequence);
}

function parseExactly(text: string): unknown {
  const revive = (key: string, value: unknown, { source }: { source?: string } = {}) =>
    key === 'spiffe_sequence' && typeof value === 'number' && /^-?\d{1,40}$/.test(source ?? '')
      ? BigInt(source!)
      : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}
