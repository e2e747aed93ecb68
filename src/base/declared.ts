/** Entries that a file or another source declares, for messages: a change of them elsewhere would be undone. */

/** The `source` of entries from the `--entries` file. */
export const FILE_SOURCE = 'file';
/** The `source` of entries created one by one over REST or the command line. */
export const API_SOURCE = 'api';

/** What made an entry, and where a file declares it, as far as that is known. */
export interface DeclaredAt {
  /** Undefined: an earlier version does not say it. */
  readonly source: string | undefined;
  readonly file?: string | null | undefined;
  readonly line?: number | null | undefined;
}

/** `in FILE, line N`; undefined for an entry that nothing declares. */
export function declaredPlace({ source, file, line }: DeclaredAt): string | undefined {
  if (source === undefined || source === API_SOURCE) return undefined;
  if (source !== FILE_SOURCE) return `where the source ${source} has it`;
  if (file === undefined || file === null) return 'in the file of --entries';
  return `in ${file}${line === undefined || line === null ? '' : `, line ${line}`}`;
}

/**
 * How to change an entry: by `command`, or where it is declared.
 * @param what the change, in words that follow a colon
 * @param server pid of the server that has read the file, if it is known
 */
export function changeEntry(at: DeclaredAt, what: string, command: string, server?: number): string {
  const place = declaredPlace(at);
  if (place === undefined) return `${what}: ${command}`;
  if (at.source !== FILE_SOURCE) return `change the entry ${place}: ${what}`;
  const reload = server === undefined ? 'send SIGHUP to the server' : `kill -HUP ${server}`;
  return `edit the entry ${place}: ${what}; then reload it (${reload})`;
}
