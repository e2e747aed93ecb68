/** Which of a container's selectors its callers are given: those that entries ask for. */

import { formatSelector, type Selector } from '../../spiffe/selector.ts';
import { isAskedFor } from '../asked.ts';
import type { AmbiguousLabel, SelectorKind } from '../description.ts';
import { endOfName } from '../of-kinds.ts';
import type { AskedSelectors, KnownSelectors } from '../types.ts';
import type { Container } from './containers.ts';
import { KINDS } from './kinds.ts';
import { ambiguousLabels, dockerSelectors } from './selectors.ts';

/** The most selectors that are alike, and the most characters of one. */
const ALIKE = 20;
const ALIKE_CHARACTERS = 256;

export class Given {
  readonly #asksFor: (kind: string) => boolean;
  /** Undefined: everything of the kinds that are asked for. */
  readonly #asked: AskedSelectors | undefined;
  /** What was found at some revision of what is asked for: a container's many callers cost no more than one. */
  readonly #found = new WeakMap<Container, { readonly revision: number; readonly selectors: Selector[] }>();
  readonly #known = new WeakMap<Container, { readonly revision: number; readonly known: KnownSelectors }>();

  constructor(asksFor: (kind: string) => boolean, asked: AskedSelectors | undefined) {
    this.#asksFor = asksFor;
    this.#asked = asked;
  }

  /** The container's selectors that some entry asks for. */
  of(container: Container): Selector[] {
    const asked = this.#asked;
    if (asked === undefined) return dockerSelectors(container, { asksFor: this.#asksFor, keeps: () => true });
    const known = this.#found.get(container);
    if (known?.revision === asked.askedRevision) return known.selectors;
    const keeps = (selector: Selector) => isAskedFor(selector, asked);
    const selectors = dockerSelectors(container, { asksFor: this.#asksFor, keeps });
    this.#found.set(container, { revision: asked.askedRevision, selectors });
    return selectors;
  }

  /** See {@link KnownSelectors}. */
  known(container: Container): KnownSelectors {
    const given = this.of(container);
    const asked = this.#asked;
    if (asked === undefined) return { given, alike: [] };
    const before = this.#known.get(container);
    if (before?.revision === asked.askedRevision) return before.known;
    const keeps = (selector: Selector) =>
      selector.value.length <= ALIKE_CHARACTERS && asked.asksFor(nameOf(selector)) && !isAskedFor(selector, asked);
    const alike = dockerSelectors(container, { asksFor: this.#asksFor, keeps }).slice(0, ALIKE);
    const known = { given, alike };
    this.#known.set(container, { revision: asked.askedRevision, known });
    return known;
  }

  /** All of the container's selectors, for a person; `remark` is told of each label that gives none and is asked for. */
  everything(container: Container, remark: (text: string) => void): Selector[] {
    for (const { selector } of this.ambiguous(container)) remark(whyAmbiguous(selector));
    return dockerSelectors(container, { asksFor: () => true, keeps: () => true });
  }

  ambiguous(container: Container): AmbiguousLabel[] {
    const asked = this.#asked;
    if (asked === undefined) return [];
    return ambiguousLabels(container)
      .filter((selector) => isAskedFor(selector, asked))
      .map((selector) => ({ container: container.id, selector }));
  }
}

/** `docker:label:app` of a label, `docker:env:MODE` of a variable, and `docker:network` of others. */
function nameOf({ type, value }: Selector): string {
  const kind: SelectorKind = KINDS[value.slice(0, value.indexOf(':')) as keyof typeof KINDS];
  return `${type}:${value.slice(0, endOfName(value, kind))}`;
}

/** No more of the label is shown than the entry has in its selector. */
function whyAmbiguous(selector: Selector): string {
  return `the container has a label whose key has a colon and that reads as ${formatSelector(selector)}, which an entry asks for: such a label gives no selector, since it could pass for another one`;
}
