/** Reads HCL files, with limits of type, size and depth. */

import { isUtf8 } from 'node:buffer';
import { readInputFile, SidekeyError } from '../base/index.ts';
import { HclFault } from './fault.ts';
import { parseHcl } from './parser.ts';
import type { HclObject } from './tree.ts';

/** Maximum size of a file, in bytes. */
export const MAX_HCL_BYTES = 1024 * 1024;

/**
 * @param change makes the text that is parsed out of the file's
 * @throws ERR_CONFIG with `FILE:LINE`, the problem and the rule
 */
export async function readHclFile(file: string, change = (text: string): string => text): Promise<HclObject> {
  let bytes: Buffer;
  try {
    bytes = await readInputFile(file, MAX_HCL_BYTES);
  } catch (thrown) {
    const problem = `it cannot be read: ${(thrown as Error).message}`;
    throw SidekeyError.badInput([{ path: file, problem, rule: 'give a file that this user can read' }], 'ERR_CONFIG');
  }
  if (!isUtf8(bytes)) {
    const rule = "give a file in HCL, such as SPIRE's server.conf";
    throw SidekeyError.badInput([{ path: file, problem: 'it is not a text in UTF-8', rule }], 'ERR_CONFIG');
  }
  try {
    return parseHcl(change(bytes.toString('utf8')));
  } catch (thrown) {
    if (!(thrown instanceof HclFault)) throw thrown;
    const { line, problem, rule } = thrown;
    throw SidekeyError.badInput([{ path: `${file}:${line}`, problem, rule }], 'ERR_CONFIG');
  }
}
