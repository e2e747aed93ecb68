/** What a view gets of its address. */

export interface ViewProps {
  /** Of the path: `id` of `/entries/:id`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The filters; `setQuery` of the router changes them. */
  readonly query: URLSearchParams;
}
