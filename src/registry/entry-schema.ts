/** JSON schemas of given entries, from the table of fields: for the OpenAPI document, and for editors of entries files. */

import { ATTESTORS } from '../attest/index.ts';
import { ENTRY_FIELD_LIST, type JsonSchema } from './entry-fields.ts';

/** Properties of SPIRE's entries that Sidekey does not support. */
const REFUSED: JsonSchema = { const: false };

/** Fields of a given entry by their names; fields that the registry sets are ignored. */
export const GIVEN_FIELDS: Readonly<Record<string, JsonSchema>> = Object.fromEntries(
  ENTRY_FIELD_LIST.map(([, { name, schema, givenSchema }]) => [name, givenSchema ?? schema]),
);

/** The same, with SPIRE's names and properties. */
export const GIVEN_PROPERTIES: Readonly<Record<string, JsonSchema>> = {
  ...GIVEN_FIELDS,
  ...Object.fromEntries(
    ENTRY_FIELD_LIST.flatMap(([, { spireName }]) =>
      spireName === undefined ? [] : [[spireName.name, spireName.schema]],
    ),
  ),
  admin: REFUSED,
  downstream: REFUSED,
  store_svid: REFUSED,
  additional_attributes: { type: 'object' },
};

/** `type:kind:` of all selectors: a caller has no others. */
const SELECTOR_BEGINNING = `^!?(${ATTESTORS.map(({ type, kinds }) => `${type}:(${Object.keys(kinds).join('|')})`).join('|')})(:|$)`;

/** Spelling of a field: `x509SvidTtl` for `x509_svid_ttl`. */
function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The schema of an entries file, for editors. Stricter than the reader only about unusual spellings of names. */
export function entriesFileSchema(): JsonSchema {
  const properties = Object.fromEntries(
    Object.entries({ ...GIVEN_PROPERTIES, selectors: withBeginning(GIVEN_PROPERTIES.selectors!) }).flatMap(
      ([name, schema]) => [...new Set([name, camelCase(name)])].map((spelling) => [spelling, schema]),
    ),
  );
  const entry: JsonSchema = {
    type: 'object',
    properties: { ...properties, spiffeID: GIVEN_FIELDS.spiffe_id, parentID: GIVEN_FIELDS.parent_id },
    allOf: [
      { anyOf: ['spiffe_id', 'spiffeId', 'spiffeID'].map((name) => ({ required: [name] })) },
      { required: ['selectors'] },
    ],
    additionalProperties: false,
  };
  const list: JsonSchema = {
    type: 'object',
    properties: {
      entries: { type: 'array', items: { $ref: '#/$defs/entry' } },
      next_page_token: { const: '', description: 'as an export of SPIRE has it' },
    },
    required: ['entries'],
    additionalProperties: false,
  };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Entries of Sidekey',
    description: 'for sidekey apply -f and sidekey serve --entries',
    if: { anyOf: [{ required: ['kind'] }, { required: ['apiVersion'] }] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { $ref: '#/$defs/manifest' },
    else: { $ref: '#/$defs/list' },
    $defs: { entry, list, manifest: manifestSchema() },
  };
}

/** The schema of selectors, whose texts begin with a type and kind that there is. */
function withBeginning(schema: JsonSchema): JsonSchema {
  const { anyOf } = schema.items as { readonly anyOf: readonly JsonSchema[] };
  const items = anyOf.map((one) => (one.type === 'string' ? { ...one, pattern: SELECTOR_BEGINNING } : one));
  return { ...schema, items: { anyOf: items } };
}

/** @see https://github.com/spiffe/spire-controller-manager/blob/main/docs/clusterstaticentry-crd.md */
function manifestSchema(): JsonSchema {
  const text = { type: 'string' };
  const texts = { type: 'array', items: text };
  const duration = { type: 'string', description: 'such as 1h or 1h30m0s' };
  const spec: JsonSchema = {
    type: 'object',
    properties: {
      ...{ spiffeID: text, parentID: text, hint: text, className: text, x509SVIDTTL: duration, jwtSVIDTTL: duration },
      ...{ federatesWith: texts, dnsNames: texts, admin: REFUSED, downstream: REFUSED, storeSVID: REFUSED },
      selectors: { type: 'array', items: { ...text, pattern: SELECTOR_BEGINNING }, minItems: 1 },
    },
    required: ['spiffeID', 'parentID', 'selectors'],
    additionalProperties: false,
  };
  return {
    type: 'object',
    properties: { apiVersion: text, kind: text, metadata: { type: 'object' }, spec: true, status: true, items: true },
    required: ['apiVersion', 'kind'],
    additionalProperties: false,
    if: { properties: { kind: { const: 'ClusterStaticEntry' } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { apiVersion: { const: 'spire.spiffe.io/v1alpha1' }, spec }, required: ['spec'] },
  };
}
