/** Finds the lines at which an entries file declares entries, for messages. */

import { readFile } from 'node:fs/promises';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type YAMLMap } from 'yaml';
import type { Selector } from '../spiffe/selector.ts';
import { formatSelector } from '../spiffe/selector.ts';

/** Larger files are not searched, in bytes, since the search blocks the event loop. */
const MAX_BYTES = 256 * 1024;

/** An entry that is looked for. */
export interface DeclaredEntry {
  readonly id: string;
  readonly spiffeId: string;
  readonly selectors: readonly Selector[];
}

interface Declared {
  readonly id: string | undefined;
  readonly spiffeId: string | undefined;
  readonly selectors: ReadonlySet<string>;
  readonly line: number;
}

/**
 * The lines (from 1) of these entries in the file, by entry id. Entries without a certain match are left out: the file
 * may have changed since it was applied, or have an unknown form.
 */
export async function declaredLines(
  file: string,
  entries: readonly DeclaredEntry[],
): Promise<ReadonlyMap<string, number>> {
  const lines = new Map<string, number>();
  if (entries.length === 0) return lines;
  let declared: Declared[];
  try {
    const bytes = await readFile(file);
    declared = bytes.length > MAX_BYTES ? [] : declaredIn(bytes.toString('utf8'));
  } catch {
    return lines;
  }
  for (const entry of entries) {
    const byId = declared.filter(({ id }) => id === entry.id);
    const bySpiffeId = declared.filter(({ spiffeId }) => spiffeId === entry.spiffeId);
    const same = bySpiffeId.filter(({ selectors }) => haveAll(selectors, entry));
    const found = [byId, same, bySpiffeId].find(({ length }) => length > 0);
    if (found?.length === 1) lines.set(entry.id, found[0]!.line);
  }
  return lines;
}

function haveAll(selectors: ReadonlySet<string>, entry: DeclaredEntry): boolean {
  return (
    selectors.size === entry.selectors.length && entry.selectors.every((one) => selectors.has(formatSelector(one)))
  );
}

function declaredIn(text: string): Declared[] {
  const counter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: false });
  return [...documents].flatMap((document) => {
    const list = isMap(document.contents) ? document.contents.get('entries', true) : undefined;
    const items = isSeq(list) ? list.items.filter(isMap) : [];
    return items.map((item): Declared => {
      const spiffeId = nodeAt(item, 'spiffe_id', 'spiffeId');
      return {
        id: textAt(item, 'id', 'entry_id', 'entryId'),
        spiffeId: isMap(spiffeId) ? joined(spiffeId) : textOf(spiffeId),
        selectors: new Set(selectorsOf(nodeAt(item, 'selectors'))),
        line: counter.linePos(item.range?.[0] ?? 0).line,
      };
    });
  });
}

function nodeAt(map: YAMLMap, ...names: readonly string[]): Node | undefined {
  for (const name of names) {
    const node = map.get(name, true) as Node | undefined;
    if (node !== undefined) return node;
  }
  return undefined;
}

function textAt(map: YAMLMap, ...names: readonly string[]): string | undefined {
  return textOf(nodeAt(map, ...names));
}

function textOf(node: Node | undefined): string | undefined {
  return isScalar(node) && node.value !== null ? (node.source ?? String(node.value)) : undefined;
}

/** SPIRE also writes SPIFFE IDs as objects. */
function joined(spiffeId: YAMLMap): string {
  return `spiffe://${textAt(spiffeId, 'trust_domain') ?? ''}${textAt(spiffeId, 'path') ?? ''}`;
}

function selectorsOf(list: Node | undefined): string[] {
  if (!isSeq(list)) return [];
  return list.items.flatMap((item) => {
    if (isMap(item)) return [`${textAt(item, 'type') ?? ''}:${textAt(item, 'value') ?? ''}`];
    return textOf(item as Node) ?? [];
  });
}
