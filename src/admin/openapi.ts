/** The OpenAPI document, made of the same schemas that the routes have. @see https://spec.openapis.org/oas/v3.1.0 */

import type { RouteOptions } from 'fastify';
import { PROBLEM_TYPE } from './problem.ts';
import { PROBLEM } from './schema.ts';

/** What a route says of itself beside its schemas. */
declare module 'fastify' {
  interface FastifySchema {
    readonly summary?: string;
    /** The media type of each response that is not JSON. */
    readonly produces?: readonly string[];
    /** The media types that a body may have besides JSON. */
    readonly consumes?: readonly string[];
  }
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  /** Of a response that is no JSON: by media type. */
  readonly content?: unknown;
}

/** Routes as they were registered; HEAD, which Fastify adds to each GET, is left out. */
export function openApiDocument(routes: readonly RouteOptions[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const url = route.url.replace(/:(\w+)/g, '{$1}');
    for (const method of [route.method].flat()) {
      if (method === 'HEAD') continue;
      paths[url] = { ...paths[url], [method.toLowerCase()]: operation(route) };
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sidekey admin API', version },
    paths,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    // Without a token on the Unix socket, with one on TCP.
    security: [{}, { token: [] }],
  };
}

function operation({ schema = {} }: RouteOptions): Record<string, unknown> {
  const responses = Object.entries((schema.response ?? {}) as Record<string, JsonSchema>).map(([status, body]) => [
    status,
    { description: 'Done', ...(status === '204' ? {} : { content: body.content ?? content(body, schema.produces) }) },
  ]);
  return {
    summary: schema.summary,
    parameters: [
      ...parameters('path', schema.params as JsonSchema | undefined),
      ...parameters('query', schema.querystring as JsonSchema | undefined),
      ...parameters('header', schema.headers as JsonSchema | undefined),
    ],
    ...(schema.body === undefined
      ? {}
      : { requestBody: { required: true, content: content(schema.body, schema.consumes) } }),
    responses: {
      ...Object.fromEntries(responses),
      default: { description: 'Refused or failed', content: { [PROBLEM_TYPE]: { schema: PROBLEM } } },
    },
  };
}

function content(schema: unknown, others: readonly string[] = []): Record<string, unknown> {
  const text = others.map((type) => [type, { schema: { type: 'string' } }]);
  return { 'application/json': { schema }, ...Object.fromEntries(text) };
}

function parameters(place: 'path' | 'query' | 'header', schema: JsonSchema | undefined): unknown[] {
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
    name,
    in: place,
    // The schemas are of what the handlers get: there, a default stands for what was left out.
    required: property.default === undefined && (schema?.required?.includes(name) ?? false),
    schema: property,
  }));
}
