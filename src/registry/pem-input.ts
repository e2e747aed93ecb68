/** PEM as people have it: blocks with anything around them. @see https://www.rfc-editor.org/rfc/rfc7468 */

import type { Problem } from '../base/errors.ts';
import { Place } from './place.ts';

export interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
  /** `line 12`: where it begins. */
  readonly place: Place;
}

const RULE = 'a PEM block is -----BEGIN X-----, lines of base64, and -----END X-----';

/** The blocks in order. One that is broken is a fault, except that nothing is said of what a private key's holds. */
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
      open?.place.fault('it has no end', RULE);
      open = { label, place: new Place(`line ${index + 1}`, problems), lines: [] };
    } else if (bound === 'END') {
      if (open?.label === label) close(open);
      else (open?.place ?? new Place(`line ${index + 1}`, problems)).fault('its two ends do not fit', RULE);
      open = undefined;
    } else open?.lines.push(line);
  }
  open?.place.fault('it has no end', RULE);
  return blocks;

  function close({ label, place, lines }: { label: string; place: Place; lines: readonly string[] }): void {
    const base64 = lines.join('').replace(/[ \t]/g, '');
    const der = Buffer.from(base64, 'base64');
    const isWhole = der.length > 0 && der.toString('base64') === base64;
    if (isWhole || label !== 'CERTIFICATE') blocks.push({ label, der, place });
    else place.fault('what it holds is no base64', RULE);
  }
}
