/**
 * Certificate subjects: parsed from text like `C=CN,O=SPIFFE`, encoded as DER in the given order.
 *
 * @see RFC 4514 (the text form; multi-valued parts and hex are not supported), RFC 5280 appendix A.1 (upper bounds)
 */

import { type Problem, SidekeyError } from '../base/index.ts';
import { oid, printableString, sequence, set, utf8String } from './der.ts';

const ATTRIBUTES = {
  C: { oid: oid('2.5.4.6'), longest: 2 },
  ST: { oid: oid('2.5.4.8'), longest: 128 },
  L: { oid: oid('2.5.4.7'), longest: 128 },
  O: { oid: oid('2.5.4.10'), longest: 64 },
  OU: { oid: oid('2.5.4.11'), longest: 64 },
  CN: { oid: oid('2.5.4.3'), longest: 64 },
  serialNumber: { oid: oid('2.5.4.5'), longest: 64 },
} as const;

type AttributeType = keyof typeof ATTRIBUTES;

/** One part of a subject. */
export interface NamePart {
  readonly type: AttributeType;
  readonly value: string;
}

/** Maximum length of a common name, in characters. */
export const LONGEST_COMMON_NAME: number = ATTRIBUTES.CN.longest;

/** The types that a user may set; the authority sets the serial number. */
const WRITABLE: readonly string[] = ['C', 'ST', 'L', 'O', 'OU', 'CN'] satisfies AttributeType[];

const RULE =
  'a subject is a list like C=US,O=SPIFFE; each part is one of C (two capital letters), ST, L, O, OU, CN; ' +
  'the characters , + " < > ; \\ in a value need a backslash before them';

/** Parses text like `C=CN,O=SPIFFE`. @throws ERR_CONFIG with every problem, at `path` */
export function parseName(text: string, path: string): NamePart[] {
  const problems: Problem[] = [];
  const parts: NamePart[] = [];
  for (const raw of splitParts(text)) {
    const equals = raw.indexOf('=');
    const type = raw.slice(0, Math.max(equals, 0)).trim();
    const value = unescapeValue(raw.slice(equals + 1).trim());
    const problem = problemOf(raw, type, value);
    if (problem === undefined) parts.push({ type: type as AttributeType, value: value! });
    else problems.push({ path, problem, rule: RULE });
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  return parts;
}

/** The name as DER: one RDN for each part, in the given order. */
export function encodeName(parts: readonly NamePart[]): Buffer {
  return sequence(
    ...parts.map(({ type, value }) => {
      const printable = type === 'C' || type === 'serialNumber';
      return set(sequence(ATTRIBUTES[type].oid, printable ? printableString(value) : utf8String(value)));
    }),
  );
}

function problemOf(raw: string, type: string, value: string | undefined): string | undefined {
  const shown = JSON.stringify(raw.trim());
  if (raw.trim() === '') return 'a part is empty';
  if (!WRITABLE.includes(type)) return `${shown} does not begin with a known type and =`;
  if (value === undefined) return `${shown} has one of + " < > ; or a final backslash without a backslash before it`;
  if (value === '') return `${shown} has no value`;
  if (type === 'C' && !/^[A-Z]{2}$/.test(value)) return `${shown} is not a country of two capital letters`;
  if (/\p{Cc}/u.test(value) || !value.isWellFormed()) return `${shown} has a character that cannot be shown`;
  const { longest } = ATTRIBUTES[type as AttributeType];
  const length = [...value].length;
  return length > longest ? `${type} has ${length} characters; the limit is ${longest}` : undefined;
}

/** Splits at the commas without a backslash before them. */
function splitParts(text: string): string[] {
  const parts = [''];
  for (const [piece] of text.matchAll(/\\.|./gsu)) {
    if (piece === ',') parts.push('');
    else parts[parts.length - 1] += piece;
  }
  return parts;
}

/** Removes the backslashes; undefined if a special character has none. */
function unescapeValue(text: string): string | undefined {
  if (!/^(?:\\.|[^\\+"<>;])*$/su.test(text)) return undefined;
  return text.replace(/\\(.)/gsu, '$1');
}
