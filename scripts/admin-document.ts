/** The OpenAPI document of the admin API, without a server: its routes need their parts only when they are called. */

import { type AppOptions, createApp } from '../src/admin/app.ts';

/** A schema of JSON Schema 2020-12; a reference is `#/components/schemas/<name>`. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
}

export type Content = Readonly<Record<string, { readonly schema: Schema }>>;

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly schema: Schema;
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly 'x-role': string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<
    Record<string, { readonly content?: Content; readonly 'x-codes'?: readonly string[]; readonly description: string }>
  >;
}

export interface AdminDocument {
  /** By path, then by method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export async function adminDocument(version: string): Promise<AdminDocument> {
  const known: Record<string | symbol, unknown> = { version, callerOf: () => ROOT };
  const app = createApp(new Proxy(known, { get: (_known, name) => known[name] ?? STAND }) as unknown as AppOptions);
  const response = await app.inject('/openapi.json');
  await app.close();
  if (response.statusCode !== 200) throw new Error(`the document could not be made: ${response.body}`);
  return JSON.parse(response.body);
}

const ROOT = { via: 'unix', uid: 0, contained: undefined } as const;

/** Stands for any part of the server: its members, and what it returns, are the same. */
const STAND: unknown = new Proxy(() => undefined, { get: () => STAND, apply: () => STAND });
