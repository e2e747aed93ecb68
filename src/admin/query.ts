/** Query strings read by their schema, so that what the OpenAPI document says is what holds. */

import type { FastifySchemaCompiler, FastifyServerOptions } from 'fastify';
import { type Problem, SidekeyError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';

/** A parameter's schema, as far as query strings need one; `description` is the rule that messages name. */
interface Parameter {
  readonly type: 'string' | 'integer' | 'boolean' | 'array';
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  /** Of texts: those that there are. */
  readonly enum?: readonly string[];
  /** Of lists. */
  readonly items?: Pick<Parameter, 'enum'>;
}

interface Query {
  readonly properties: Readonly<Record<string, Parameter>>;
}

/** Query strings alone: bodies are read by the registry's rules. */
const compileValidator: FastifySchemaCompiler<unknown> = ({ schema, httpPart }) => {
  if (httpPart !== 'querystring') return () => true;
  return (raw: Record<string, unknown>) => {
    try {
      return { value: readQuery(schema as Query, raw) };
    } catch (error) {
      return { error: error as Error };
    }
  };
};

/**
 * What Fastify does with schemas. Ours, so that neither ajv nor fast-json-stringify is loaded at start: together they
 * cost as much as Fastify. Its types know no others.
 */
export const schemaController = {
  compilersFactory: { buildValidator: () => compileValidator, buildSerializer: () => () => JSON.stringify },
} as unknown as NonNullable<FastifyServerOptions['schemaController']>;

/**
 * Turns what stood in the URL into the schema's types, with its defaults. @throws ERR_BAD_INPUT for unknown names,
 * names given twice that are no lists, and values that break the rule
 */
function readQuery({ properties: parameters }: Query, raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
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
