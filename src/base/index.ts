/** Common parts without an owner: the clock, errors, durations, files, paths, accounts and texts. None loads native code. */

export { backoff, backoffApart } from './backoff.ts';
export { BODY_LIMIT, ENTRIES_BODY_LIMIT } from './body-limit.ts';
export { countedAddress } from './client-address.ts';
export { type Clock, type Deadline, SystemClock } from './clock.ts';
export { type Colour, coloured, wantsColour } from './colour.ts';
export { API_SOURCE, changeEntry, type DeclaredAt, declaredPlace, FILE_SOURCE } from './declared.ts';
export { DURATION_RULE, formatDuration, parseDuration } from './duration.ts';
export { ERRORS, type ErrorCode, formatProblem, type Problem, SidekeyError } from './errors.ts';
export { Fifo } from './fifo.ts';
export { type FileStat, fileVersion } from './file-version.ts';
export { syncToDisk, writeFileAtomic } from './files.ts';
export type { Finding, Severity } from './finding.ts';
export { parseGoDuration } from './go-duration.ts';
export { accountOf, groupId, groupMembers, groupName, isNamedGroup, userOf } from './groups.ts';
export { OPEN_INPUT, readInputFile, readRegular, readRegularFile } from './input-file.ts';
export { ISSUANCE_KINDS, type IssuanceRecord } from './issuance.ts';
export { KeyedListeners } from './keyed-listeners.ts';
export { Listeners, tellEach } from './listeners.ts';
export { isLoopback } from './loopback.ts';
export { differInOnePlace, looksMistyped, nearest } from './nearest.ts';
export { isNestedBeyond, parseBytes, refuseDeep } from './nesting.ts';
export { NewestConnections } from './newest-connections.ts';
export { PASSPHRASE_RULE, readPassphraseFile } from './passphrase-file.ts';
export { printable, printableLines } from './printable.ts';
export {
  checkPrivate,
  closeIfHarmless,
  closingCommand,
  privacyFaults,
  READABLE_WARNING,
  SUSPECT_REMEDY,
} from './privacy.ts';
export { type IdRange, readIdMap } from './proc/id-map.ts';
export { linesOf, otherForm, parseId, readable, readProcFile, readProcRecords } from './proc/text.ts';
export {
  ADMIN_LISTENERS,
  type DescriptorPlan,
  descriptorLimit,
  descriptors,
  diskOf,
  planDescriptors,
} from './resources.ts';
export {
  isRevocationReason,
  MAX_REVOCATION_WAIT,
  REVOCATION_REASON_NAMES,
  REVOCATION_REASONS,
  type Revocation,
  type RevocationReason,
} from './revocation.ts';
export { includesRole, ROLES, type Role } from './roles.ts';
export { commandLine, isShownWhole, shellQuote } from './shell.ts';
export { Slices } from './slices.ts';
export { MAX_SOCKET_PATH_BYTES, readSocketPath } from './socket-path.ts';
export { TokenBucket } from './token-bucket.ts';
export { readTrustedFile, readTrustedFileNow, whoCanChange } from './trusted-file.ts';
export {
  describeLoose,
  isOfType,
  type Loose,
  makePath,
  octal,
  pathRemedy,
  pathRule,
  type Walk,
  walkPath,
  walkToMade,
} from './trusted-path.ts';
export { currentTurn } from './turn.ts';
export { UnderTls } from './under-tls.ts';
export { parseUnique } from './unique-json.ts';
export { readUnmappedIds, type UnmappedIds } from './unmapped-ids.ts';
export { type Observer, observer } from './user-ids.ts';
export { BACKDATE_MS, isValidAt, TOKEN_LEEWAY_MS } from './validity.ts';
export { version } from './version.ts';
export { isWithin } from './within.ts';
