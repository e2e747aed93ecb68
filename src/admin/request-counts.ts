/** Counts requests by route, method and status. Routes and methods are those that exist, so the numbers are few. */

export interface RequestCount {
  /** The pattern of the path, such as `/v1/entries/:id`; `none` if no route fits. */
  readonly route: string;
  /** `other` if no route fits. */
  readonly method: string;
  readonly status: number;
  readonly count: number;
}

export class RequestCounts {
  readonly #counts = new Map<string, { -readonly [Member in keyof RequestCount]: RequestCount[Member] }>();

  /** @param route undefined: no route fits */
  add(route: string | undefined, method: string, status: number): void {
    const shown = route === undefined ? { route: 'none', method: 'other' } : { route, method };
    const key = `${shown.method} ${shown.route} ${status}`;
    const known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, { ...shown, status, count: 1 });
    else known.count += 1;
  }

  all(): Iterable<RequestCount> {
    return this.#counts.values();
  }
}
