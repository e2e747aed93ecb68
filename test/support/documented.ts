/** Compares answers of the admin API with its OpenAPI document: status, content type, schema and error code. */

import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { Compile } from 'typebox/schema';
import { type AdminDocument, adminDocument, type Operation, type Schema } from '../../scripts/admin-document.ts';

export interface AnswerSeen {
  readonly method: string;
  /** With the query. */
  readonly url: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

let document: Promise<AdminDocument> | undefined;
const compiled = new Map<Schema, ReturnType<typeof Compile>>();

/** Fails the test where the answer is not one that the document describes. */
export async function assertDocumented(answer: AnswerSeen): Promise<void> {
  document ??= adminDocument('of a test');
  const fault = undocumented(answer, await document);
  if (fault !== undefined) {
    const { method, url, status, text } = answer;
    assert.fail(`${method} ${url} answered ${status}, ${fault}: ${text.slice(0, 2_000)}`);
  }
}

/** Statuses of a path or method that is not there; whoever may not ask is refused first. */
const ABSENT = new Set([400, 401, 403, 404, 405, 408, 431]);

/** What of the answer the document does not describe; undefined: nothing. */
export function undocumented({ method, url, status, headers, text }: AnswerSeen, doc: AdminDocument) {
  const operation = operationOf(method, url.split('?', 1)[0]!, doc);
  if (operation === undefined) {
    if (!ABSENT.has(status)) return 'and the document has no such operation';
    return bodyFault(headers, method, text, { 'application/problem+json': { schema: PROBLEM } }, doc);
  }
  const response = operation.responses[status];
  if (response === undefined) return `which is no status of ${operation.operationId}`;
  if (response.content === undefined) return text === '' ? undefined : 'with a body where there is none';
  const fault = bodyFault(headers, method, text, response.content, doc);
  if (fault !== undefined || response['x-codes'] === undefined || method === 'HEAD') return fault;
  const { code } = JSON.parse(text) as { code: string };
  return response['x-codes'].includes(code) ? undefined : `with a code that ${operation.operationId} does not list`;
}

const PROBLEM: Schema = { $ref: '#/components/schemas/Problem' };

function operationOf(method: string, path: string, { paths }: AdminDocument): Operation | undefined {
  const segments = path.split('/');
  const fits = (template: string) => {
    const parts = template.split('/');
    return parts.length === segments.length && parts.every((part, at) => part.startsWith('{') || part === segments[at]);
  };
  // A path of words comes before one with a parameter in their place.
  const found = Object.keys(paths)
    .filter(fits)
    .sort((a, b) => Number(a.includes('{')) - Number(b.includes('{')));
  const methods = paths[found[0] ?? ''];
  if (method !== 'HEAD') return methods?.[method.toLowerCase()];
  const isEndless = methods?.get?.responses['200']?.content?.['text/event-stream'] !== undefined;
  return isEndless ? undefined : methods?.get;
}

function bodyFault(
  headers: IncomingHttpHeaders,
  method: string,
  text: string,
  content: NonNullable<Operation['responses'][string]['content']>,
  doc: AdminDocument,
): string | undefined {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!;
  const schema = content[type]?.schema;
  if (schema === undefined) return `as ${type || 'no type'}, not ${Object.keys(content).join(' or ')}`;
  if (method === 'HEAD' || !/[/+]json$/.test(type)) return undefined;
  let validator = compiled.get(schema);
  if (validator === undefined) {
    validator = Compile({ ...schema, components: doc.components } as never);
    compiled.set(schema, validator);
  }
  const value: unknown = JSON.parse(text);
  if (validator.Check(value)) return undefined;
  const [, errors] = validator.Errors(value);
  return `which breaks its schema:\n${errors.map(({ instancePath, message }) => `${instancePath || '/'} ${message}`).join('\n')}\n`;
}
