/** A set-up that is broken, and what mends it: a row of the table test, and of docs/troubleshooting.md. */

import type { TestContext } from 'node:test';
import type { ExplanationJson } from '../../src/admin/explain-schema.ts';
import type { Finding } from '../../src/base/finding.ts';
import type { InnerServer } from '../support/inner-server.ts';
import type { Served } from '../support/serve.ts';
import type { StandInEngine } from '../support/stand-in-engine.ts';

/** A real server, by a clock that the test moves. */
export interface Stage extends Omit<InnerServer, 'server'> {
  /** Directory of the sockets; the data directory is `data` in it. */
  readonly directory: string;
  /** What `sidekey doctor` finds now, worst first. */
  findings(): Promise<Finding[]>;
  /** What `sidekey explain` says now of a process, this one unless it is another. */
  explain(spiffeId: string, pid?: number): Promise<ExplanationJson>;
  /** What looks like a container engine, and runs. */
  readonly engine: StandInEngine;
}

interface Told {
  /** What somebody sees who does not know the reason. */
  readonly symptom: string;
  /** What Envoy, or whoever else, says meanwhile; none: nothing at all. */
  readonly words?: string;
  /** What is wrong. */
  readonly cause: string;
  /** The command that the finding gives, which is run and mends it, with names in place of what differs each time; or words. */
  readonly fix: string;
  /** What to know beside it. */
  readonly note?: string;
}

/** Found by `sidekey doctor`. */
export interface DoctorCase extends Told {
  readonly by: 'doctor';
  /** A server of its own with these settings, where it would be in the way of the others. */
  readonly own?: (stage: Pick<Stage, 'engine'>) => Record<string, string> | Promise<Record<string, string>>;
  /** The rule of the first finding that was not there before. */
  readonly rule: string;
  break(stage: Stage, t: TestContext): unknown;
  /** Processes of other users take part, which only root starts. */
  readonly needsRoot?: true;
  /** Where the finding gives no command, since that could adopt what somebody has put there: what a person does. */
  readonly byHand?: (stage: Stage, t: TestContext) => unknown;
  /** A program that the fix runs and that a test must not: what it would do to this machine. */
  readonly standIn?: { readonly program: string; does(stage: Stage, t: TestContext): unknown };
  /** What the workload does by itself once it may. */
  readonly after?: (stage: Stage) => unknown;
}

/** Found by `sidekey doctor`; the server is a process of its own, which the fix starts anew. */
export interface RestartCase extends Told {
  readonly by: 'restart';
  readonly flags: readonly string[];
  readonly rule: string;
  break(server: Served, t: TestContext): unknown;
}

/** Found by `sidekey doctor` when no server answers. */
export interface SilenceCase extends Told {
  readonly by: 'silence';
  readonly rule: string;
  break(server: Served): unknown;
}

/** Found by `sidekey explain --pid … --spiffe-id …`. */
export interface ExplainCase extends Told {
  readonly by: 'explain';
  /** The last part of the SPIFFE ID that is asked for; no two cases have the same. */
  readonly name: string;
  /** The first of what it says. */
  readonly says: RegExp;
  /** It needs a container engine, or a cgroup that looks as one makes it: a server of its own, with these settings. */
  readonly own?: DoctorCase['own'];
  /** Where it prints no command, since the operator has to see first what it would do: what he does then. */
  readonly byHand?: (stage: Stage, spiffeId: string, t: TestContext) => unknown;
  /** It has the identity, and can't ask for it: then `byHand` returns the pid of the process that can. */
  readonly unreachable?: true;
  /** May return the pid of the process that has no identity, where it is not this one. */
  break(stage: Stage, spiffeId: string, t: TestContext): unknown;
}

/** Found by `sidekey doctor --envoy FILE`. */
export interface LintCase extends Told {
  readonly by: 'lint';
  readonly rule: string;
  /** What is changed in a bootstrap that works. */
  readonly change?: readonly [from: string | RegExp, to: string];
  /** Compared with a server that has an entry for the bootstrap, by the command itself. */
  readonly server?: {
    /** What is broken beside the change. */
    break?(stage: Stage, t: TestContext, file: string): unknown;
    /** Where the finding gives no command: what a person does. */
    byHand?(stage: Stage, file: string): unknown;
    /** What the fix says. */
    readonly says?: RegExp;
  };
}

/** Found by `sidekey doctor --envoy-admin URL`, of an Envoy that runs. */
export interface EnvoyCase extends Told {
  readonly by: 'envoy';
  readonly rule: string;
  /** What only root can do. */
  readonly needsRoot?: true;
  /** Starts what is broken; returns the URL of the Envoy that is asked, and what a person does about it. */
  set(
    stage: Stage,
    binary: string,
    t: TestContext,
  ): Promise<{ readonly url: string; byHand(): Promise<{ url: string }> }>;
  /** What the first finding says. */
  readonly says: RegExp;
}

/** Told by the command itself, on stderr. */
export interface CommandCase extends Told {
  readonly by: 'command';
  /** What somebody runs. `FOLDER` is an empty folder, `FILE` a file with the content. */
  readonly command: string;
  readonly content?: string;
  readonly status: 0 | 1 | 2;
  /** What it says. */
  readonly says: RegExp;
  /** Prepares the server. */
  break?(stage: Stage): unknown;
}

/** Found by `sidekey proxies --check`. */
export interface CheckCase extends Told {
  readonly by: 'check';
  /** In the row of the secret. */
  readonly says: RegExp;
  break(stage: Stage, t: TestContext): Promise<unknown>;
  byHand(stage: Stage): unknown;
}

export type Case =
  | DoctorCase
  | RestartCase
  | SilenceCase
  | ExplainCase
  | LintCase
  | EnvoyCase
  | CheckCase
  | CommandCase;
