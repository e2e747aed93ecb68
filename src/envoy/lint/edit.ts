/** Edits of a file that are small enough for a command that a person checks before running it. */

import { shellQuote } from '../../base/index.ts';

/**
 * Replaces the first `old` in a line (counted from 1) by `text`, which may have line breaks. If another edit has moved the
 * lines, `old` is not found, and nothing is changed.
 */
export interface Edit {
  readonly line: number;
  readonly old: string;
  readonly text: string;
}

/** Stands for the file's name if the text has none, so that no command can edit it. */
export const STDIN = 'stdin';

/** Delimiters that rarely occur in YAML or in sed patterns. */
const MARKS = [...'|#,!~%@'];

/** The edit as a command for GNU or busybox sed; undefined if the text contains all delimiters. */
export function sedCommand({ line, old, text }: Edit, file: string): string | undefined {
  const mark = MARKS.find((one) => !`${old}${text}`.includes(one));
  if (mark === undefined) return undefined;
  const pattern = old.replaceAll(/[\\.*[\]^$]/g, '\\$&');
  const replacement = text.replaceAll(/[\\&]/g, '\\$&').replaceAll('\n', '\\n');
  // sed would treat such a name as an option, and could execute it.
  const place = file.startsWith('-') ? `./${file}` : file;
  return ['sed', '-i', `${line}s${mark}${pattern}${mark}${replacement}${mark}`, place].map(shellQuote).join(' ');
}
