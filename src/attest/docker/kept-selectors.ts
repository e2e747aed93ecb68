/** Filters a container's selectors: callers have only those that entries ask for. */

import { formatSelector, type Selector } from '../../spiffe/index.ts';
import { isAskedFor } from '../asked.ts';
import type { AmbiguousLabel, SelectorKind } from '../description.ts';
import { endOfName } from '../of-kinds.ts';
import type { AskedSelectors, KnownSelectors } from '../types.ts';
import type { Container } from './containers.ts';
import { DOCKER_SELECTOR_KINDS } from './kinds.ts';
import { ambiguousLabels, dockerSelectors } from './selectors.ts';

/** Maximum number of {@link KnownSelectors.alike}. */
const ALIKE = 20;
/** Maximum length of one of these, in characters. */
const ALIKE_CHARACTERS = 256;

export class KeptSelectors {
  readonly #asksFor: (kind: string) => boolean;
  /** If undefined, all selectors of the kinds that entries ask for are kept. */
  readonly #asked: AskedSelectors | undefined;
  /** Cached with {@link AskedSelectors.askedRevision}, for all callers of a container. */
  readonly #found = new WeakMap<Container, { readonly revision: number; readonly selectors: Selector[] }>();
  readonly #known = new WeakMap<Container, { readonly revision: number; readonly known: KnownSelectors }>();

  constructor(asksFor: (kind: string) => boolean, asked: AskedSelectors | undefined) {
    this.#asksFor = asksFor;
    this.#asked = asked;
  }

  /** The container's selectors that an entry asks for. */
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

  /** All selectors of the container, for `explain`; calls `remark` for each ambiguous label that an entry asks for. */
  everything(container: Container, remark: (text: string) => void): Selector[] {
    for (const { selector } of this.ambiguous(container)) remark(whyAmbiguous(selector));
    return dockerSelectors(container, { asksFor: () => true, keeps: () => true });
  }

  /** The ambiguous labels that entries ask for. */
  ambiguous(container: Container): AmbiguousLabel[] {
    const asked = this.#asked;
    if (asked === undefined) return [];
    return ambiguousLabels(container)
      .filter((selector) => isAskedFor(selector, asked))
      .map((selector) => ({ container: container.id, selector }));
  }
}

/** `docker:label:app` for a label, `docker:env:MODE` for a variable, `docker:network` for other kinds. */
function nameOf({ type, value }: Selector): string {
  const kind: SelectorKind =
    DOCKER_SELECTOR_KINDS[value.slice(0, value.indexOf(':')) as keyof typeof DOCKER_SELECTOR_KINDS];
  return `${type}:${value.slice(0, endOfName(value, kind))}`;
}

/** The text shows only the selector, which the entry contains too. */
function whyAmbiguous(selector: Selector): string {
  return `the container has a label whose key has a colon; it would read as ${formatSelector(selector)}, which an entry asks for, but it gives no selector, because another label could have the same text`;
}
