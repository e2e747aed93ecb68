/** The templates of entries, and which of them could render a SPIFFE ID. */

import { type Placeholder, placeholderOf } from '../attest/index.ts';
import { couldRender, isTemplate, parseTemplate, type SpiffeId, type SpiffeIdTemplate } from '../spiffe/index.ts';
import type { Entry } from './types.ts';

const read = new WeakMap<Entry, SpiffeIdTemplate>();
const NO_PLACEHOLDERS: readonly Placeholder[] = [];

/** The template of an entry; undefined if its SPIFFE ID is fixed. */
export function templateOf(entry: Entry): SpiffeIdTemplate | undefined {
  const { spiffeId } = entry;
  if (!isTemplate(spiffeId)) return undefined;
  let template = read.get(entry);
  if (template === undefined) {
    template = parseTemplate(spiffeId);
    read.set(entry, template);
  }
  return template;
}

/** The placeholders of an entry's template. One that no attestor has any more gets no value. */
export function placeholdersOf(entry: Entry): readonly Placeholder[] {
  const template = templateOf(entry);
  return template?.placeholders.map((name) => placeholderOf(name) ?? unknown(name)) ?? NO_PLACEHOLDERS;
}

function unknown(name: string): Placeholder {
  return { name, type: name.split('.', 1)[0]!, kind: name, key: undefined };
}

/** Entries with a template, by the number of segments and the first one. */
export class Templates {
  readonly #byShape = new Map<string, Set<Entry>>();

  put(entry: Entry): void {
    const shape = shapeOf(entry);
    if (shape === undefined) return;
    const set = this.#byShape.get(shape);
    if (set === undefined) this.#byShape.set(shape, new Set([entry]));
    else set.add(entry);
  }

  delete(entry: Entry): void {
    const shape = shapeOf(entry);
    if (shape === undefined) return;
    const set = this.#byShape.get(shape);
    set?.delete(entry);
    if (set?.size === 0) this.#byShape.delete(shape);
  }

  /** The entries whose templates render this SPIFFE ID for some callers. */
  *thatCouldRender(id: SpiffeId): Iterable<Entry> {
    if (this.#byShape.size === 0) return;
    const segments = id.split('/').slice(3);
    for (const shape of [`${segments.length} ${segments[0]}`, `${segments.length}`]) {
      for (const entry of this.#byShape.get(shape) ?? []) if (couldRender(templateOf(entry)!, id)) yield entry;
    }
  }
}

function shapeOf(entry: Entry): string | undefined {
  const segments = templateOf(entry)?.segments;
  if (segments === undefined) return undefined;
  const [first] = segments;
  return typeof first === 'string' ? `${segments.length} ${first}` : `${segments.length}`;
}
