/** Edits of a file, small enough to be a command that a person reads before it is run. */

import { shellQuote } from '../../base/shell.ts';

/**
 * A change of the first place in a line, counted from 1, that reads `old`; `text` may have line breaks. Where another edit has
 * moved the lines, `old` is not there, and nothing is changed.
 */
export interface Edit {
  readonly line: number;
  readonly old: string;
  readonly text: string;
}

/** Neither in YAML's plain texts nor in patterns of sed, most of the time. */
const MARKS = [...'|#,!~%@'];

/** The edit as a command for sed, GNU's or busybox's; nothing where the text has all that could delimit it. */
export function sedCommand({ line, old, text }: Edit, file: string): string | undefined {
  const mark = MARKS.find((one) => !`${old}${text}`.includes(one));
  if (mark === undefined) return undefined;
  const pattern = old.replaceAll(/[\\.*[\]^$]/g, '\\$&');
  const replacement = text.replaceAll(/[\\&]/g, '\\$&').replaceAll('\n', '\\n');
  // sed would take such a name for an option, and run what it says.
  const place = file.startsWith('-') ? `./${file}` : file;
  return ['sed', '-i', `${line}s${mark}${pattern}${mark}${replacement}${mark}`, place].map(shellQuote).join(' ');
}
