/** The callers on the pipe, the facts about them, and the catalog of attestors. */

export { createAccounts } from './accounts.ts';
export { readAdminCaller } from './admin-caller.ts';
export { AttestationTimes } from './attestation-times.ts';
export {
  ATTESTOR_SETTINGS,
  ATTESTORS,
  type AttestorSettings,
  attestorOf,
  type ListedAttestor,
  runningWith,
} from './catalog.ts';
export { createWhyContained, nobodyContained, type WhyContained } from './contained.ts';
export type {
  AttestorFailure,
  AttestorParts,
  AttestorSetting,
  RunningAttestor,
  SelectorKind,
  SelectorKinds,
} from './description.ts';
export { looseOnEnginePath, whyForeignEngine } from './docker/engine-trust.ts';
export { createExitWatcher } from './exit-watcher.ts';
export { type AttestorReport, createInspector, type Inspect, type Inspection } from './inspect.ts';
export { type Kernel, probeKernel } from './kernel.ts';
export { missingPrograms } from './missing-programs.ts';
export { createOwnerOf } from './owner-of.ts';
export { pinProcess } from './pinned-process.ts';
export { ATTEST_TIMEOUT_MS, createPipe, type Pipe } from './pipe.ts';
export {
  isAboutContainer,
  kindsOfPlaceholder,
  PLACEHOLDER_FORMS,
  placeholderOf,
  valueAmong,
  valuesOf,
} from './placeholders.ts';
export { type CgroupLine, readCgroup } from './proc/cgroup.ts';
export { checkProc } from './proc/self.ts';
export { type ProcessStat, readStat } from './proc/stat.ts';
export { readStatus } from './proc/status.ts';
export { PTRACE_REMEDY, readProcView } from './proc-view.ts';
export { reachOf } from './reach.ts';
export {
  isChosen,
  isKept,
  isKeptIfAsked,
  isOfContainer,
  isOfRoot,
  isSecret,
  isUnread,
  isWeak,
  LAZY_KINDS,
  NAMED_KINDS,
  redactSelector,
  sourceOf,
} from './selector-kinds.ts';
export { findListener } from './socket-listener.ts';
export { SocketReading } from './socket-reading.ts';
export { createSubordinateIds } from './subordinate-ids.ts';
export type { Attestation, Peer, Placeholder, PlaceholderValue } from './types.ts';
export { type UnreachableUsers, unreachableUsers } from './unreachable.ts';
