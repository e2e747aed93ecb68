/** Reads the parts of requests besides the entries: filter, revision and source. */

import type { Static } from 'typebox';
import { type Problem, SidekeyError } from '../base/index.ts';
import { type ListQuery, PAGE_TOKEN, PAGE_TOKEN_RULE, snakeCase } from '../registry/index.ts';
import { parseIdOrTemplate, SpiffeIdError, splitSelector } from '../spiffe/index.ts';
import type { ENTRY_QUERY } from './schema.ts';

/** Sources that `PUT` may not declare: single entries over REST, and the file of `--entries`. */
const RESERVED_SOURCES: readonly string[] = ['api', 'file'];

/** Maximum length of a search. */
const MAX_SEARCH = 300;

/** A filter that nothing can match is refused as a mistake. @throws ERR_BAD_INPUT */
export function readListQuery(query: Static<typeof ENTRY_QUERY>): ListQuery {
  const { spiffe_id: spiffeId, selector: selectors, hint, search, source, limit, cursor } = query;
  if (spiffeId !== undefined) checkSpiffeId(spiffeId);
  for (const selector of selectors ?? []) {
    if (splitSelector(selector) !== undefined) continue;
    throw badMember(
      '?selector',
      `it is ${JSON.stringify(selector)}`,
      'a selector is type:value, such as unix:uid:1000, or !type:value',
    );
  }
  if (search !== undefined && search.length > MAX_SEARCH)
    throw badMember('?search', `it has ${search.length} characters`, `it has at most ${MAX_SEARCH} characters`);
  return {
    limit,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    ...(selectors === undefined ? {} : { selectors }),
    ...(hint === undefined ? {} : { hint }),
    ...(search === undefined || search === '' ? {} : { search }),
    ...(source === undefined ? {} : { source }),
    ...(cursor === undefined || cursor === '' ? {} : { cursor }),
  };
}

function checkSpiffeId(text: string): void {
  try {
    parseIdOrTemplate(text);
  } catch (thrown) {
    if (!(thrown instanceof SpiffeIdError)) throw thrown;
    throw badMember('?spiffe_id', thrown.problem, thrown.rule);
  }
}

/** The revision in If-Match; undefined: any. @throws ERR_BAD_INPUT */
export function readIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header === '*') return undefined;
  const digits = /^(?:"(\d{1,15})"|(\d{1,15}))$/.exec(header);
  if (digits !== null) return Number(digits[1] ?? digits[2]);
  throw badMember('If-Match', `it is ${JSON.stringify(header)}`, 'give the revision_number of the entry that was read');
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Maximum number of unknown members that are reported: an answer must not be much larger than its request. */
const MOST_UNKNOWN = 100;

/** The members of a body that may have only these names. @throws ERR_BAD_INPUT */
export function onlyMembers(body: unknown, names: readonly string[]): Record<string, unknown> {
  const rule = `the body is an object with ${names.join(' and ')}, and nothing else`;
  if (!isObject(body)) throw badMember('', 'it is not an object', rule);
  const problems = Object.keys(body)
    .filter((name) => !names.includes(name))
    .slice(0, MOST_UNKNOWN)
    .map((name): Problem => ({ path: `/${name}`, problem: 'there is no such field', rule }));
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return body;
}

/** The value of `entries`. An empty `next_page_token` is accepted, because SPIRE's exports have one. @throws ERR_BAD_INPUT */
export function readExport(body: Record<string, unknown>): unknown {
  const given = Object.entries(body).map(([name, member]) => [
    snakeCase(name) === PAGE_TOKEN ? PAGE_TOKEN : name,
    member,
  ]);
  const { entries, [PAGE_TOKEN]: token = '' } = onlyMembers(Object.fromEntries(given), ['entries', PAGE_TOKEN]);
  if (token !== '') throw badMember(`/${PAGE_TOKEN}`, 'it is not empty', PAGE_TOKEN_RULE);
  return entries;
}

/** @throws ERR_BAD_INPUT */
export function readSource(source: unknown): string {
  const rule = `a source is 1 to 64 of the characters A-Z a-z 0-9 . _ -, and not ${RESERVED_SOURCES.join(' or ')}`;
  if (typeof source === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(source) && !RESERVED_SOURCES.includes(source)) {
    return source;
  }
  throw badMember('/source', source === undefined ? 'it is missing' : `it is ${JSON.stringify(source)}`, rule);
}

/** An error about one fault. */
export function badMember(path: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path, problem, rule }]);
}
