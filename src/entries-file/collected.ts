/** What a reader of a document collects. */
export interface Collected {
  /** An entry, and the keys that lead to it in the document. */
  entry(value: unknown, keys: readonly string[]): void;
  /** A federation relationship, in the form of federation.json. */
  relationship(value: unknown, keys: readonly string[]): void;
  /** Something that was accepted, but has no effect. */
  note(keys: readonly string[], problem: string, rule: string): void;
}
