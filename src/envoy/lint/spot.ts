/** A YAML (or JSON) file as places: values that know the line they stand on. */

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';

/** A fault of the YAML itself. */
export interface SyntaxFault {
  readonly line: number;
  readonly message: string;
}

interface File {
  readonly text: string;
  readonly lines: LineCounter;
  /** What each alias (`*name`) stands for. */
  readonly targets: ReadonlyMap<Node, Node>;
}

/** A value in a file. Fields are asked for as protobuf writes them; as JSON writes them (camelCase) they are found too. */
export class Spot {
  /** Where it begins: the line of its key, for a member. */
  readonly line: number;
  readonly #node: Node | undefined;
  readonly #file: File;

  constructor(file: File, node: Node | undefined, line: number) {
    this.#file = file;
    this.#node = node !== undefined && isAlias(node) ? file.targets.get(node) : node;
    this.line = line;
  }

  /** The same for all aliases of a value; nothing where there is no value. */
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

  /** As it is written, but for the space between words. */
  get source(): string {
    const range = this.#node?.range;
    return range ? this.#file.text.slice(range[0], range[1]).replaceAll(/\s+/g, ' ').trim() : '';
  }

  /** The member by a path of fields; nothing where one of them is missing. */
  get(...path: readonly string[]): Spot | undefined {
    const [first, ...rest] = path;
    if (first === undefined) return this;
    return this.members.find(({ field }) => field === first)?.spot.get(...rest);
  }

  /** Of a map, in order. */
  get members(): readonly { readonly field: string; readonly spot: Spot }[] {
    if (!isMap(this.#node)) return [];
    return this.#node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      const line = this.#lineOf(key as Node);
      return { field: asField(name), spot: new Spot(this.#file, (value as Node | null) ?? undefined, line) };
    });
  }

  /** Of a list, in order. */
  get items(): readonly Spot[] {
    if (!isSeq(this.#node)) return [];
    return (this.#node.items as Node[]).map((item) => new Spot(this.#file, item, this.#lineOf(item)));
  }

  #lineOf(node: Node): number {
    return node.range ? this.#file.lines.linePos(node.range[0]).line : this.line;
  }
}

/** `setNodeOnFirstMessageOnly` as `set_node_on_first_message_only`; what is no name of a field stays as it is. */
function asField(name: string): string {
  return /^[a-z][A-Za-z0-9]*$/.test(name) ? name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : name;
}

export function readFile(text: string): { readonly root: Spot; readonly faults: readonly SyntaxFault[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = document.errors.map(({ pos, message }) => ({ line: lines.linePos(pos[0]).line, message }));
  const targets = aliasTargets(document, (alias) => {
    const line = lines.linePos(alias.range?.[0] ?? 0).line;
    faults.push({ line, message: `*${String((alias as { source?: string }).source)} stands for nothing` });
  });
  return { root: new Spot({ text, lines, targets }, document.contents ?? undefined, 1), faults };
}

/** One look at the whole file: yaml's own way to resolve an alias is one for each. */
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

/** Every map below `from`, itself included, once, whatever aliases (in circles too) lead to it. */
export function* mapsIn(from: Spot, seen = new Set<object>()): Generator<Spot> {
  const { identity } = from;
  if (identity === undefined || seen.has(identity)) return;
  seen.add(identity);
  if (from.isMap) yield from;
  for (const { spot } of from.members) yield* mapsIn(spot, seen);
  for (const item of from.items) yield* mapsIn(item, seen);
}
