/** A set-up that is broken, and what mends it: a row of the table test, and of docs/troubleshooting.md. */

import type { TestContext } from 'node:test';
import type { ExplanationJson } from '../../src/admin/client.ts';
import type { Finding } from '../../src/base/finding.ts';
import type { InnerServer } from '../support/inner-server.ts';
import type { Served } from '../support/serve.ts';

/** A real server, by a clock that the test moves. */
export interface Stage extends Omit<InnerServer, 'server'> {
  /** Directory of the sockets; the data directory is `data` in it. */
  readonly directory: string;
  /** What `sidekey doctor` finds now, worst first. */
  findings(): Promise<Finding[]>;
  /** What `sidekey explain` says now of this process. */
  explain(spiffeId?: string): Promise<ExplanationJson>;
  /** Runs a command line, `sidekey …` or of the system; fails when it fails. */
  run(command: string): Promise<void>;
}

interface Told {
  /** What somebody sees who does not know the reason. */
  readonly symptom: string;
  /** What Envoy, or whoever else, says meanwhile; none: nothing at all. */
  readonly words?: string;
  /** What is wrong. */
  readonly cause: string;
}

/** Found by `sidekey doctor`. */
export interface DoctorCase extends Told {
  readonly by: 'doctor';
  /** A server of its own, where it would be in the way of the others. */
  readonly own?: (t: TestContext) => Own;
  /** The rule of the first finding that was not there before. */
  readonly rule: string;
  /** Returns what mends it, where that is no command to run here. */
  break(stage: Stage, t: TestContext): unknown;
  /** For the document, where the text of the finding depends on the place. */
  readonly fix: string;
}

export interface Own {
  /** Settings of the server. */
  readonly flags?: Record<string, string>;
  readonly mend?: () => unknown;
}

/** Found by `sidekey doctor` when no server answers; to serve again mends it. */
export interface SilenceCase extends Told {
  readonly by: 'silence';
  readonly rule: string;
  break(server: Served): unknown;
  /** What has to be run before. */
  readonly fix: string;
}

/** Found by `sidekey explain --pid … --spiffe-id …`. */
export interface ExplainCase extends Told {
  readonly by: 'explain';
  /** The last part of the SPIFFE ID that is asked for; no two cases have the same. */
  readonly name: string;
  /** The first of what it says. */
  readonly says: RegExp;
  break(stage: Stage, spiffeId: string, t: TestContext): unknown;
  readonly fix: string;
  /** Which of the fixes, from 0. */
  readonly which?: number;
}

/** Found by `sidekey doctor --envoy FILE`. */
export interface LintCase extends Told {
  readonly by: 'lint';
  readonly rule: string;
  /** What is changed in a bootstrap that works. */
  readonly change: readonly [from: string | RegExp, to: string];
  readonly fix: string;
}

export type Case = DoctorCase | SilenceCase | ExplainCase | LintCase;
