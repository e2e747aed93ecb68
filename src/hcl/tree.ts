/** The parsed form of an HCL file. `a "b" { c = 1 }` and `a { b { c = 1 } }` are the same tree, as for HCL's own decoder. */

export type HclNode = HclObject | HclList | HclScalar;

export interface HclObject {
  readonly kind: 'object';
  /** Line of its `{`, from 1. */
  readonly line: number;
  /** In the order of the file. A key is repeated only if all its values are objects. */
  readonly items: readonly HclItem[];
}

export interface HclItem {
  readonly key: string;
  readonly line: number;
  readonly value: HclNode;
}

export interface HclList {
  readonly kind: 'list';
  readonly line: number;
  readonly elements: readonly HclNode[];
}

export type HclScalar = {
  readonly line: number;
  /** A string's value; else the literal as written, such as `0x1f`. */
  readonly text: string;
} & (
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
);
