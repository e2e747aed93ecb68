/** A YAML (or JSON) file as values with their lines. Accepts each form of a value that Envoy accepts. */

import { isMap, isScalar, isSeq, type LineCounter, type Node } from 'yaml';
import type { Edit } from './edit.ts';

export interface File {
  readonly text: string;
  readonly lines: LineCounter;
  /** The value of each alias (`*name`). */
  readonly targets: ReadonlyMap<Node, Node>;
  /** The file is JSON, so edits can't insert YAML. */
  readonly isJson: boolean;
}

/** Maximum number of values that are visited for a list: aliases can make the list of a small file endless. */
const MAX_VISITS = 100_000;

export interface Member {
  /** In protobuf's spelling. */
  readonly field: string;
  /** As written. */
  readonly name: string;
  readonly spot: Spot;
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
    this.#node = node === undefined ? undefined : (file.targets.get(node) ?? node);
    this.line = line;
  }

  /** An object that is the same for all aliases of a value; undefined without a value. */
  get identity(): object | undefined {
    return this.#node;
  }

  get isMap(): boolean {
    return isMap(this.#node);
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

  /** The members of a map, in order. If several have the same field, only the last one, which Envoy uses. */
  get members(): readonly Member[] {
    const last = new Map<string, Member>();
    for (const member of this.#allMembers()) {
      // Deleted first, so that a repeated member gets the position of its last occurrence.
      last.delete(member.field);
      last.set(member.field, member);
    }
    return [...last.values()];
  }

  /** Members that Envoy does not use, because a later one has the same field. */
  get overridden(): readonly { readonly member: Member; readonly by: Member }[] {
    const all = this.#allMembers();
    const used = new Map(all.map((member) => [member.field, member]));
    return all.flatMap((member) => {
      const by = used.get(member.field)!;
      return by === member ? [] : [{ member, by }];
    });
  }

  #allMembers(): Member[] {
    if (!isMap(this.#node)) return [];
    return this.#node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      const line = this.#lineOf(key as Node);
      const spot = new Spot(this.#file, (value as Node | null) ?? undefined, line, key as Node);
      return { field: asField(name), name, spot };
    });
  }

  /**
   * The values of a repeated field, in order. Envoy reads one value as a list of one, and a list in a list as if its values
   * stood in the outer one.
   */
  get each(): readonly Spot[] {
    const found: Spot[] = [];
    this.#collect(found, { visits: MAX_VISITS });
    return found;
  }

  #collect(found: Spot[], left: { visits: number }): void {
    left.visits -= 1;
    if (left.visits < 0) return;
    if (isSeq(this.#node)) for (const item of this.#items()) item.#collect(found, left);
    else if (this.#node !== undefined && !this.#isNull) found.push(this);
  }

  /** The values directly below this one, of a map or of a list. */
  get below(): readonly Spot[] {
    return isSeq(this.#node) ? this.#items() : this.members.map(({ spot }) => spot);
  }

  #items(): Spot[] {
    if (!isSeq(this.#node)) return [];
    return (this.#node.items as Node[]).map((item) => new Spot(this.#file, item, this.#lineOf(item)));
  }

  get #isNull(): boolean {
    return isScalar(this.#node) && this.#node.value === null;
  }

  /** An edit of a member's value and, if `key` is given, of its key; undefined if it would not stay within a line. */
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

  /** An edit that adds a member `field: value` to a map; undefined if one new line, or a change within a line, is not enough. */
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

/** Each map at or below `from`, once, even if several aliases, or circular ones, lead to it. */
export function* mapsIn(from: Spot, seen = new Set<object>()): Generator<Spot> {
  const { identity } = from;
  if (identity === undefined || seen.has(identity)) return;
  seen.add(identity);
  if (from.isMap) yield from;
  for (const spot of from.below) yield* mapsIn(spot, seen);
}
