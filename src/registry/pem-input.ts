/** Reads PEM with any text between the blocks. @see https://www.rfc-editor.org/rfc/rfc7468 */

import type { Problem } from '../base/index.ts';
import { Place } from './place.ts';

export interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
  /** The line at which the block begins: `line 12`. */
  readonly place: Place;
}

const RULE = 'a PEM block is -----BEGIN X-----, lines of base64, and -----END X-----';

/** The blocks in order. A malformed block is a fault, but the content of private keys is never checked or shown. */
export function readPemBlocks(text: string, problems: Problem[]): PemBlock[] {
  const blocks: PemBlock[] = [];
  let open: { label: string; place: Place; lines: string[] } | undefined;
  // Editors on Windows begin a file with a byte order mark.
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const [, bound, label = ''] = /^-----(BEGIN|END) (.*?)-----[ \t]*$/.exec(line) ?? [];
    if (bound === 'BEGIN') {
      open?.place.fault('it has no END line', RULE);
      open = { label, place: new Place(`line ${index + 1}`, problems), lines: [] };
    } else if (bound === 'END') {
      if (open?.label === label) close(open);
      else
        (open?.place ?? new Place(`line ${index + 1}`, problems)).fault('its BEGIN and END lines do not match', RULE);
      open = undefined;
    } else open?.lines.push(line);
  }
  open?.place.fault('it has no END line', RULE);
  return blocks;

  function close({ label, place, lines }: { label: string; place: Place; lines: readonly string[] }): void {
    const base64 = lines.join('').replace(/[ \t]/g, '');
    const der = Buffer.from(base64, 'base64');
    const isWhole = der.length > 0 && der.toString('base64') === base64;
    if (isWhole || label !== 'CERTIFICATE') blocks.push({ label, der, place });
    else place.fault('its content is not base64', RULE);
  }
}
