/** The comparison itself: it finds what an OpenAPI document does not describe. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminDocument } from '../../scripts/admin-document.ts';
import { type AnswerSeen, undocumented } from './documented.ts';

const document = await adminDocument('1.2.3');

const problem = (code: string, more: object = {}) =>
  JSON.stringify({ type: 't', title: 't', status: 1, detail: 'd', code, ...more });
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };
const PROBLEM_TYPE = { 'content-type': 'application/problem+json' };
const HEALTH: AnswerSeen = { method: 'GET', url: '/healthz', status: 200, headers: JSON_TYPE, text: '{"status":"ok"}' };
const MISSING: AnswerSeen = {
  method: 'GET',
  url: '/v1/entries/x?y',
  status: 404,
  headers: PROBLEM_TYPE,
  text: problem('ERR_NOT_FOUND'),
};

const ROWS: readonly (readonly [what: string, answer: AnswerSeen, finds: RegExp | undefined])[] = [
  ['an answer of the document', HEALTH, undefined],
  ['a problem', MISSING, undefined],
  ['a HEAD', { ...HEALTH, method: 'HEAD', text: '' }, undefined],
  ['a status that is not listed', { ...HEALTH, status: 202 }, /no status of getHealth/],
  ['another value', { ...HEALTH, text: '{"status":"fine"}' }, /breaks its schema/],
  ['no content type', { ...HEALTH, headers: {} }, /as no type, not application\/json/],
  ['another content type', { ...HEALTH, headers: { 'content-type': 'text/html' } }, /as text\/html/],
  ['a code of another status', { ...MISSING, text: problem('ERR_REVISION') }, /code that getEntry does not list/],
  ['a code that does not exist', { ...MISSING, text: problem('ERR_NEW') }, /breaks its schema/],
  ['a member that is not listed', { ...MISSING, text: problem('ERR_NOT_FOUND', { more: 1 }) }, /breaks its schema/],
  ['a body of 204', { ...MISSING, method: 'DELETE', status: 204, text: '{}' }, /with a body/],
  ['a path that is not there', { ...HEALTH, url: '/v1/nothing' }, /no such operation/],
  ['404 of a path that is not there', { ...MISSING, url: '/v1/nothing' }, undefined],
  ['a method that is not there', { ...HEALTH, method: 'POST' }, /no such operation/],
];

for (const [what, answer, finds] of ROWS) {
  test(what, () => {
    const found = undocumented(answer, document);
    if (finds === undefined) assert.equal(found, undefined);
    else assert.match(found ?? '', finds);
  });
}
