/** Longer quotations of the text are cut in messages. */
export const SHOWN = 60;

/** A word of the text in double quotes, as messages show it. */
export function quoted(word: string): string {
  return JSON.stringify(word.length > SHOWN ? `${word.slice(0, SHOWN)}…` : word);
}

/** A fault of an HCL text, at its line. */
export class HclFault extends Error {
  readonly line: number;
  readonly problem: string;
  readonly rule: string;

  constructor(line: number, problem: string, rule: string) {
    super(`line ${line}: ${problem}; ${rule}`);
    this.line = line;
    this.problem = problem;
    this.rule = rule;
  }
}
