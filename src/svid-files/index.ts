/** SVIDs in files, for programs without SDS: generations of files that are replaced as one, and what follows a change. */

export { type Argv, ReloadCommand, SupervisedProgram } from './command.ts';
export { type HealthPlan, startHealthServer } from './health-server.ts';
export { Keeper } from './keeper.ts';
export { writeOnce } from './once.ts';
export {
  type FileOwner,
  type FilesPlan,
  filesOf,
  MODE_RULE,
  modeProblem,
  nameProblem,
  repeatedName,
} from './plan.ts';
export type { Kind, Reaction } from './reaction.ts';
export { PidFileSignal, readSignal } from './signal.ts';
export type { StreamListener, SvidSource } from './source.ts';
export { splitRecord, splitWords } from './words.ts';
