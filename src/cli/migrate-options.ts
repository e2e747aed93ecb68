/** The options of `sidekey migrate …`. */

import type { OutputFormat } from './output.ts';
import type { ClientOptions } from './target.ts';

export interface MigrateOptions {
  readonly agent: string;
  readonly serverConfig?: string;
  readonly agentConfig?: string;
  readonly expandEnv?: true;
  readonly base: string;
  readonly spireServer?: string;
  readonly spireSocket?: string;
  readonly spireEntries?: string;
  readonly spireAgent?: string;
  readonly spireBundle?: string;
  readonly spireBundles?: string;
  readonly spireFederation?: string;
  readonly to: string;
  readonly force?: true;
  readonly output: OutputFormat;
}

export interface GiveRootOptions extends ClientOptions {
  readonly spireSocket: string;
}
