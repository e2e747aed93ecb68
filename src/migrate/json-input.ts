/** The JSON that spire-server prints, from files or from the program itself. */

import { isNestedBeyond, parseUnique, readInputFile, SidekeyError } from '../base/index.ts';

/** Maximum size of an output of spire-server, in bytes: about 100,000 entries. */
export const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const MAX_DEPTH = 16;

/** A JSON text and where it comes from. */
export interface JsonInput {
  /** The file, or the command. */
  readonly from: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** @throws ERR_CONFIG that names the file */
export async function readJsonFile(file: string): Promise<JsonInput> {
  let bytes: Buffer;
  try {
    bytes = await readInputFile(file, MAX_OUTPUT_BYTES);
  } catch (thrown) {
    throw fault(file, `it cannot be read: ${(thrown as Error).message}`, 'give a file that this user can read');
  }
  return parseJson(bytes, file);
}

/** @throws ERR_CONFIG that names the source */
export function parseJson(bytes: Buffer, from: string): JsonInput {
  const rule = 'give what spire-server prints with -output json';
  if (isNestedBeyond(bytes, MAX_DEPTH)) throw fault(from, `it is nested more than ${MAX_DEPTH} deep`, rule);
  let value: unknown;
  try {
    value = parseUnique(bytes.toString('utf8'));
  } catch (thrown) {
    throw fault(from, `it is not JSON: ${(thrown as Error).message}`, rule);
  }
  if (!isObject(value)) throw fault(from, 'it is not an object', rule);
  return { from, value };
}

/** A list of objects in an answer; absent: none, as protobuf leaves out empty lists. @throws ERR_CONFIG */
export function listIn({ from, value }: JsonInput, name: string): Readonly<Record<string, unknown>>[] {
  const list = value[name] ?? [];
  if (!Array.isArray(list) || !list.every(isObject))
    throw fault(`${from} /${name}`, 'it is not a list of objects', 'give what spire-server prints with -output json');
  const { next_page_token: more } = value;
  if (more !== undefined && more !== '')
    throw fault(`${from} /next_page_token`, 'more follow on the next page', 'give a file that has them all');
  return list;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function fault(path: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path, problem, rule }], 'ERR_CONFIG');
}

/** A SPIFFE ID as SPIRE's JSON has it, as text; undefined if it is none. */
export function idText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!isObject(value)) return undefined;
  const { trust_domain: domain, path = '' } = value;
  return typeof domain === 'string' && typeof path === 'string' ? `spiffe://${domain}${path}` : undefined;
}
