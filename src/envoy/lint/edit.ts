/** Edits of a file, small enough to be a command that a person reads before it is run. */

import { shellQuote } from '../../base/shell.ts';

/** A change within a line, of the first place that reads `old`; or a new line before it. Lines count from 1. */
export type Edit =
  | { readonly line: number; readonly old: string; readonly text: string }
  | { readonly line: number; readonly insert: string };

/** Neither in YAML's plain texts nor in patterns of sed, most of the time. */
const MARKS = [...'|#,!~%@'];

/** The edit as a command for sed, GNU's or busybox's; nothing where the text has all that could delimit it. */
export function sedCommand(edit: Edit, file: string): string | undefined {
  const [old, text] = 'insert' in edit ? ['', edit.insert] : [edit.old, edit.text];
  const mark = MARKS.find((one) => !`${old}${text}`.includes(one));
  if (mark === undefined) return undefined;
  const pattern = old === '' ? '^' : old.replaceAll(/[\\.*[\]^$]/g, '\\$&');
  const replacement = text.replaceAll(/[\\&]/g, '\\$&');
  const script = `${edit.line}s${mark}${pattern}${mark}${replacement}${'insert' in edit ? '\\n' : ''}${mark}`;
  return ['sed', '-i', script, file].map(shellQuote).join(' ');
}
