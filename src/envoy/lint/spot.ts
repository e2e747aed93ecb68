/** A YAML (or JSON) file as values with their lines. */

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { Edit } from './edit.ts';

/** A fault of the YAML itself. */
export interface SyntaxFault {
  readonly line: number;
  readonly message: string;
}

interface File {
  readonly text: string;
  readonly lines: LineCounter;
  /** The value of each alias (`*name`). */
  readonly targets: ReadonlyMap<Node, Node>;
  /** The file is JSON, so edits can't insert YAML. */
  readonly isJson: boolean;
}

/** A value in a file. Fields are requested in protobuf's spelling; JSON's spelling (camelCase) is found too. */
export class Spot {
  /** The line where the value begins; for a member, the line of its key. */
  readonly line: number;
  readonly #node: Node | undefined;
  readonly #file: File;
  readonly #key: Node | undefined;

  constructor(file: File, node: Node | undefined, line: number, key?: Node) {
    this.#file = file;
    this.#key = key;
    this.#node = node !== undefined && isAlias(node) ? file.targets.get(node) : node;
    this.line = line;
  }

  /** Equal for all aliases of a value; undefined without a value. */
  get identity(): object | undefined {
    return this.#node;
  }

  get isMap(): boolean {
    return isMap(this.#node);
  }

  get isList(): boolean {
    return isSeq(this.#node);
  }

  /** The text of a scalar that is not empty. */
  get text(): string | undefined {
    const node = this.#node;
    if (!isScalar(node) || node.value === null || node.value === '') return undefined;
    return typeof node.value === 'string' ? node.value : node.source;
  }

  /** The text as written, with white space reduced. */
  get source(): string {
    const range = this.#node?.range;
    return range ? this.#file.text.slice(range[0], range[1]).replaceAll(/\s+/g, ' ').trim() : '';
  }

  /** The member at a path of fields; undefined if one is missing. */
  get(...path: readonly string[]): Spot | undefined {
    const [first, ...rest] = path;
    if (first === undefined) return this;
    return this.members.find(({ field }) => field === first)?.spot.get(...rest);
  }

  /** Members of a map, in order. */
  get members(): readonly { readonly field: string; readonly spot: Spot }[] {
    if (!isMap(this.#node)) return [];
    return this.#node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      const line = this.#lineOf(key as Node);
      return {
        field: asField(name),
        spot: new Spot(this.#file, (value as Node | null) ?? undefined, line, key as Node),
      };
    });
  }

  /** Items of a list, in order. */
  get items(): readonly Spot[] {
    if (!isSeq(this.#node)) return [];
    return (this.#node.items as Node[]).map((item) => new Spot(this.#file, item, this.#lineOf(item)));
  }

  /** Replaces a member's value, or its key too; undefined if that is more than a change within a line. */
  replaced(value: string, key?: string): Edit | undefined {
    const { range } = this.#node ?? {};
    const keyRange = this.#key?.range;
    if (!range || !keyRange || this.#file.isJson) return undefined;
    const between = this.#file.text.slice(keyRange[1], range[0]);
    const before = key ?? this.#file.text.slice(keyRange[0], keyRange[1]);
    // A member without a value may end with its colon, which needs a space after it.
    const gap = /\s$/.test(between) ? '' : ' ';
    return this.#edit(keyRange[0], range[1], `${before}${between}${gap}${value}`);
  }

  /** Adds a member `field: value` to a map; undefined if that needs more than one new line or a change within a line. */
  with(member: string): Edit | undefined {
    const node = this.#node;
    if (!isMap(node) || !node.range || this.#file.isJson) return undefined;
    if (node.flow === true) {
      const text = this.#file.text.slice(node.range[0], node.range[1]);
      const inside = text.slice(1, -1).trim().replace(/\s*,$/, '');
      return this.#edit(node.range[0], node.range[1], inside === '' ? `{ ${member} }` : `{ ${inside}, ${member} }`);
    }
    for (const { key } of node.items) {
      const { range } = key as Node;
      if (!range) continue;
      const { line, col } = this.#file.lines.linePos(range[0]);
      const margin = this.#file.text.slice(range[0] - col + 1, range[0]);
      if (margin.trim() === '')
        return { line, old: this.#lineAt(range[0]), text: `${margin}${member}\n${this.#lineAt(range[0])}` };
    }
    return undefined;
  }

  #edit(from: number, to: number, text: string): Edit | undefined {
    const old = this.#file.text.slice(from, to);
    const { line, col } = this.#file.lines.linePos(from);
    // If the text occurs twice in the line, the edit would be ambiguous.
    return old.includes('\n') || this.#lineAt(from).indexOf(old) !== col - 1 ? undefined : { line, old, text };
  }

  #lineAt(offset: number): string {
    const { col } = this.#file.lines.linePos(offset);
    return this.#file.text.slice(offset - col + 1).split(/\r?\n/, 1)[0]!;
  }

  #lineOf(node: Node): number {
    return node.range ? this.#file.lines.linePos(node.range[0]).line : this.line;
  }
}

/** `setNodeOnFirstMessageOnly` becomes `set_node_on_first_message_only`; texts that are not field names stay unchanged. */
function asField(name: string): string {
  return /^[a-z][A-Za-z0-9]*$/.test(name) ? name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : name;
}

export function readFile(text: string): { readonly root: Spot; readonly faults: readonly SyntaxFault[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = document.errors.map(({ pos, message }) => ({ line: lines.linePos(pos[0]).line, message }));
  const targets = aliasTargets(document, (alias) => {
    const line = lines.linePos(alias.range?.[0] ?? 0).line;
    faults.push({ line, message: `*${String((alias as { source?: string }).source)} has no anchor` });
  });
  const isJson = isMap(document.contents) && document.contents.flow === true;
  return { root: new Spot({ text, lines, targets, isJson }, document.contents ?? undefined, 1), faults };
}

/** Resolves all aliases in one pass: yaml's own resolution needs one pass per alias. */
function aliasTargets(document: Document, lost: (alias: Node) => void): Map<Node, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Node, Node>();
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target === undefined) lost(node);
        else targets.set(node, target);
      } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Every map below `from`, including itself, once, even if several (or circular) aliases lead to it. */
export function* mapsIn(from: Spot, seen = new Set<object>()): Generator<Spot> {
  const { identity } = from;
  if (identity === undefined || seen.has(identity)) return;
  seen.add(identity);
  if (from.isMap) yield from;
  for (const { spot } of from.members) yield* mapsIn(spot, seen);
  for (const item of from.items) yield* mapsIn(item, seen);
}
