/** Settings in HCL by a table of their types. Every fault is told with its line. */

import { nearest } from '../base/index.ts';
import { type HclItem, type HclNode, type HclObject, type HclScalar, quoted } from '../hcl/index.ts';

export type SettingType = 'string' | 'boolean' | 'number' | 'mode' | 'strings' | 'object' | 'objects';

const RULES: Readonly<Record<SettingType, string>> = {
  string: 'give a text in double quotes',
  boolean: 'give true or false',
  number: 'give a whole number',
  mode: 'give an octal mode, such as 0644',
  strings: 'give a list of texts, such as ["a", "b"]',
  object: 'give a block { … }',
  objects: 'give a list of blocks, such as [{jwt_audience="a", jwt_svid_file_name="a.token"}]',
};

export interface Value<T> {
  readonly value: T;
  readonly line: number;
}

/** What a type becomes. */
interface Read {
  string: string;
  boolean: boolean;
  number: number;
  mode: number;
  strings: readonly string[];
  object: HclObject;
  objects: readonly HclObject[];
}

export type Settings<K extends Readonly<Record<string, SettingType>>> = { readonly [N in keyof K]?: Value<Read[K[N]]> };

/** Is told a fault. @param line undefined: of the whole file */
export type Refuse = (line: number | undefined, problem: string, rule: string) => void;

/**
 * The settings of an object, without regard to the case of their names, as HCL has it.
 * @param refuse is told each unknown key, repeated key and value of another type
 * @param former names of former versions, and their successors
 */
export function readSettings<K extends Readonly<Record<string, SettingType>>>(
  { items }: HclObject,
  keys: K,
  refuse: Refuse,
  former: Readonly<Record<string, keyof K & string>> = {},
  tellFormer: (former: string, name: string) => void = () => undefined,
): Settings<K> {
  const found: Record<string, Value<unknown>> = {};
  for (const item of items) {
    const old = Object.keys(former).find((one) => one.toLowerCase() === item.key.toLowerCase());
    const name = old === undefined ? item.key.toLowerCase() : former[old]!;
    if (old !== undefined) tellFormer(old, name);
    const type = Object.hasOwn(keys, name) ? keys[name] : undefined;
    if (type === undefined) {
      const near = nearest(item.key, Object.keys(keys));
      const rule = near === undefined ? `the keys here are ${Object.keys(keys).join(', ')}` : `did you mean ${near}?`;
      refuse(item.line, `there is no key ${quoted(item.key)}`, rule);
      continue;
    }
    if (found[name] !== undefined && type !== 'objects') {
      refuse(item.line, `${name} is set twice`, `remove this one or that in line ${found[name].line}`);
      continue;
    }
    const value = readValue(item, type);
    if (value === undefined) refuse(item.line, `${name} has a value of another kind`, RULES[type]);
    // As HCL has it, repeated blocks are one list.
    else if (type === 'objects' && found[name] !== undefined)
      (found[name].value as unknown[]).push(...(value as HclObject[]));
    else found[name] = { value, line: item.line };
  }
  return found as Settings<K>;
}

/** Undefined if it is of another type. */
function readValue({ value }: HclItem, type: SettingType): Read[SettingType] | undefined {
  switch (type) {
    case 'string':
      return value.kind === 'string' || value.kind === 'number' ? value.text : undefined;
    case 'boolean':
      if (value.kind === 'boolean') return value.value;
      return isScalar(value) && /^(true|false)$/.test(value.text) ? value.text === 'true' : undefined;
    case 'number':
    case 'mode':
      return isScalar(value) ? wholeNumber(value.text) : undefined;
    case 'strings':
      if (value.kind !== 'list') return undefined;
      return value.elements.every((one) => one.kind === 'string') ? value.elements.map((one) => one.text) : undefined;
    case 'object':
      return value.kind === 'object' ? value : undefined;
    case 'objects': {
      const elements = value.kind === 'list' ? value.elements : [value];
      const objects = elements.filter((one): one is HclObject => one.kind === 'object');
      return objects.length === elements.length ? objects : undefined;
    }
  }
}

function isScalar(node: HclNode): node is HclScalar {
  return node.kind !== 'object' && node.kind !== 'list';
}

/** As Go's ParseInt reads it with base 0: 0644 is octal. */
function wholeNumber(literal: string): number | undefined {
  if (/^0[0-7]+$/.test(literal)) return Number.parseInt(literal, 8);
  return /^(?:0|[1-9]\d*|0[xob][0-9a-f]+)$/i.test(literal) ? Number(literal) : undefined;
}
