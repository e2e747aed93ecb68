/** Makes the OpenAPI document from the schemas of the routes. @see https://spec.openapis.org/oas/v3.1.0 */

import { isDeepStrictEqual } from 'node:util';
import type { RouteOptions } from 'fastify';
import { ERRORS, type ErrorCode } from '../base/index.ts';
import { PROBLEM_TYPE } from './problem.ts';
import { needsOf } from './roles.ts';
import { PROBLEM } from './schema.ts';

/** The parts of a route's description besides its schemas. */
declare module 'fastify' {
  interface FastifySchema {
    /** The operation's id in the OpenAPI document, which generated clients use as the name of the method. */
    readonly operationId?: string;
    readonly summary?: string;
    /** Left out of the document. */
    readonly hide?: boolean;
    /** Codes of errors that this route has besides those of {@link commonErrors}. */
    readonly errors?: readonly ErrorCode[];
    /** Media types of responses besides JSON. */
    readonly produces?: readonly string[];
    /** The media types that a body may have besides JSON. */
    readonly consumes?: readonly string[];
  }
}

interface RouteSchema {
  readonly properties?: Readonly<Record<string, RouteSchema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  /** The content by media type, for a response that is not JSON. */
  readonly content?: unknown;
}

/** Routes as they were registered; HEAD, which Fastify adds to each GET, is left out. */
export function openApiDocument(routes: readonly RouteOptions[], version: string): Record<string, unknown> {
  const schemas: Schemas = {};
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    if (route.schema?.hide === true) continue;
    const url = route.url.replace(/:(\w+)/g, '{$1}');
    for (const method of [route.method].flat()) {
      if (method === 'HEAD') continue;
      paths[url] = { ...paths[url], [method.toLowerCase()]: withReferences(operation(route, method), schemas) };
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sidekey admin API', version, description: ABOUT },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'needed on TCP; the Unix socket has the role admin' },
      },
    },
  };
}

const ABOUT =
  'The role that an operation needs is in its security requirement and in x-role: metrics, read, entries or admin, each ' +
  'with the rights of those before it. Sessions of the page have a cookie in place of a token. Every GET but those of ' +
  '/v1/events and /v1/page/events may also be a HEAD. x-codes lists the codes of a status; new ones may be added.';

type Schemas = Record<string, unknown>;

/** The value with a reference in the place of each schema that has a title; these are added to `schemas`. */
function withReferences(value: unknown, schemas: Schemas): unknown {
  if (Array.isArray(value)) return value.map((one) => withReferences(one, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const { title, ...members } = value as Record<string, unknown>;
  const entries = Object.entries(members).map(([name, member]) => [name, withReferences(member, schemas)]);
  const copy = Object.fromEntries(entries);
  if (typeof title !== 'string') return title === undefined ? copy : { title: withReferences(title, schemas), ...copy };
  if (schemas[title] !== undefined && !isDeepStrictEqual(schemas[title], copy)) {
    throw new Error(`two schemas have the title ${title}`);
  }
  schemas[title] = copy;
  return { $ref: `#/components/schemas/${title}` };
}

function operation({ schema = {}, url }: RouteOptions, method: string): Record<string, unknown> {
  const responses = Object.entries((schema.response ?? {}) as Record<string, RouteSchema>).map(([status, body]) => [
    status,
    { description: 'Done', ...(status === '204' ? {} : { content: body.content ?? content(body, schema.produces) }) },
  ]);
  const needs = needsOf(method, url);
  return {
    operationId: schema.operationId,
    summary: schema.summary,
    'x-role': needs,
    // For HTTP authentication, a requirement lists roles (OpenAPI 3.1, section 4.8.30).
    security: needs === 'open' ? [] : [{ token: [needs] }],
    parameters: [
      ...parameters('path', schema.params as RouteSchema | undefined),
      ...parameters('query', schema.querystring as RouteSchema | undefined),
      ...parameters('header', schema.headers as RouteSchema | undefined),
    ],
    ...(schema.body === undefined
      ? {}
      : { requestBody: { required: true, content: content(schema.body, schema.consumes) } }),
    responses: {
      ...Object.fromEntries(responses),
      ...problems([...commonErrors(method, needs !== 'open', url.includes(':')), ...(schema.errors ?? [])]),
    },
  };
}

/** Errors that come from the server's common parts: HTTP, access control, the readers of paths, queries and bodies. */
function commonErrors(method: string, needsToken: boolean, hasParameter: boolean): ErrorCode[] {
  return [
    'ERR_BAD_REQUEST',
    'ERR_BAD_INPUT',
    'ERR_REQUEST_TIMEOUT',
    'ERR_HEADERS_TOO_LARGE',
    'ERR_FORBIDDEN',
    'ERR_FORBIDDEN_HOST',
    'ERR_INTERNAL',
    'ERR_STORE',
    ...(needsToken ? (['ERR_UNAUTHORIZED', 'ERR_SESSION', 'ERR_FORBIDDEN_ROLE', 'ERR_FORBIDDEN_ORIGIN'] as const) : []),
    ...(hasParameter ? (['ERR_NOT_FOUND'] as const) : []),
    ...(method === 'GET' ? [] : (['ERR_BAD_JSON', 'ERR_TOO_LARGE', 'ERR_MEDIA_TYPE'] as const)),
  ];
}

/** One response for each status of the codes. */
function problems(codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy([...new Set(codes)].sort(), (code) => ERRORS[code].status);
  const responses = [...byStatus].map(([status, ofStatus]) => [
    status,
    {
      description: ofStatus.map((code) => `${code}: ${ERRORS[code].title}`).join('; '),
      content: { [PROBLEM_TYPE]: { schema: PROBLEM } },
      'x-codes': ofStatus,
    },
  ]);
  return Object.fromEntries(responses);
}

function content(schema: unknown, others: readonly string[] = []): Record<string, unknown> {
  const text = others.map((type) => [type, { schema: { type: 'string' } }]);
  return { 'application/json': { schema }, ...Object.fromEntries(text) };
}

function parameters(place: 'path' | 'query' | 'header', schema: RouteSchema | undefined): unknown[] {
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
    name,
    in: place,
    // The schemas describe the handlers' input, where defaults replace missing parameters.
    required: property.default === undefined && (schema?.required?.includes(name) ?? false),
    schema: property,
  }));
}
