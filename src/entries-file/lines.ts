/** Lines of the values in a document, by place. */

/** The lines in a document: of a value, and below it of its members and items. */
export interface Lines {
  /** From 1: of the key for a member, else of the beginning. */
  readonly line: number;
  readonly members?: ReadonlyMap<string, Lines>;
  readonly items?: readonly Lines[];
}

/** The line of the value at this place, or of the nearest value above it that is there. */
export function lineAt(lines: Lines, keys: readonly string[]): number {
  let at = lines;
  for (const key of keys) {
    const next: Lines | undefined = at.items === undefined ? memberOf(at, key) : at.items[Number(key)];
    if (next === undefined) break;
    at = next;
  }
  return at.line;
}

function memberOf({ members }: Lines, name: string): Lines | undefined {
  const exact = members?.get(name);
  if (exact !== undefined) return exact;
  for (const [key, lines] of members ?? []) if (isSameName(key, name)) return lines;
  return undefined;
}

/** Whether two keys are the same field: `x509_svid_ttl`, `x509SvidTtl` and `x509SVIDTTL`. */
export function isSameName(a: string, b: string): boolean {
  return a === b || plain(a) === plain(b);
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}
