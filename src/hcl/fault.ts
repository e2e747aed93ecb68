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
