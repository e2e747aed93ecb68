/** Reads query strings by their schema, so that the OpenAPI document is always right. */

import type { FastifySchemaCompiler, FastifyServerOptions } from 'fastify';
import { nearest, type Problem, SidekeyError } from '../base/index.ts';

/** The parts of a parameter's schema that query strings need; `description` is the rule in messages. */
interface Parameter {
  readonly type: 'string' | 'integer' | 'boolean' | 'array';
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  /** Allowed texts. */
  readonly enum?: readonly string[];
  /** Schema of a list's items. */
  readonly items?: Pick<Parameter, 'enum'>;
}

interface QuerySchema {
  /** True: parameters are not read. */
  readonly additionalProperties?: boolean;
  readonly properties: Readonly<Record<string, Parameter>>;
}

/** For query strings only: bodies are read by the registry's rules. */
const compileValidator: FastifySchemaCompiler<unknown> = ({ schema, httpPart }) => {
  if (httpPart !== 'querystring' || (schema as QuerySchema).additionalProperties === true) return () => true;
  return (raw: Record<string, unknown>) => {
    try {
      return { value: readQuery(schema as QuerySchema, raw) };
    } catch (error) {
      return { error: error as Error };
    }
  };
};

/**
 * Replaces Fastify's compilers, so that neither ajv nor fast-json-stringify is loaded at start: they
 * take long to load. Fastify's types require both.
 */
export const schemaController = {
  compilersFactory: { buildValidator: () => compileValidator, buildSerializer: () => () => JSON.stringify },
} as unknown as NonNullable<FastifyServerOptions['schemaController']>;

/**
 * Converts the URL's parameters to the schema's types, with defaults. @throws ERR_BAD_INPUT for unknown names,
 * repeated names that are not lists, and values that break the rule
 */
function readQuery(
  { properties: parameters }: QuerySchema,
  raw: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const problems: Problem[] = [];
  const query: Record<string, unknown> = {};
  for (const name of Object.keys(raw)) {
    if (Object.hasOwn(parameters, name)) continue;
    problems.push(unknownParameter(name, Object.keys(parameters)));
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    const given = raw[name];
    const value = given === undefined ? parameter.default : readValue(parameter, given);
    if (value !== undefined) query[name] = value;
    else if (given !== undefined) {
      const isTwice = Array.isArray(given) && parameter.type !== 'array';
      const problem = isTwice ? 'it is given more than once' : `it is ${JSON.stringify(given)}`;
      problems.push({ path: `?${name}`, problem, rule: parameter.description ?? `it is one ${parameter.type}` });
    }
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return query;
}

function unknownParameter(name: string, known: readonly string[]): Problem {
  const meant = nearest(name, known);
  return {
    path: `?${name}`,
    problem: `there is no such parameter${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    rule: known.length === 0 ? 'this request has no parameters' : `the parameters are ${known.join(', ')}`,
  };
}

function readValue(parameter: Parameter, given: unknown): unknown {
  if (parameter.type === 'array') {
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    return list.every((item) => isOneOf(parameter.items?.enum, item as string)) ? list : undefined;
  }
  if (typeof given !== 'string') return undefined;
  switch (parameter.type) {
    case 'string':
      return isOneOf(parameter.enum, given) ? given : undefined;
    case 'boolean':
      return given === 'true' ? true : given === 'false' ? false : undefined;
    case 'integer': {
      const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
      const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = parameter;
      return value >= minimum && value <= maximum ? value : undefined;
    }
  }
}

function isOneOf(values: readonly string[] | undefined, given: string): boolean {
  return values?.includes(given) ?? true;
}
