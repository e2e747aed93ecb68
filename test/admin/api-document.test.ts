import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminDocument } from '../../scripts/admin-document.ts';
import { ROLE_ROUTES } from '../../src/admin/roles.ts';
import { routesDocument } from './api-document.ts';

test('docs/api.md has the routes and roles of the OpenAPI document', async () => {
  const { now, due } = await routesDocument();
  assert.equal(now, due, 'run scripts/node test/admin/api-document.ts --write');
});

test('the table of roles has each route, and no other', async () => {
  const { paths } = await adminDocument('');
  const routes = Object.entries(paths).flatMap(([url, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${url.replace(/\{(\w+)\}/g, ':$1')}`),
  );
  assert.deepEqual([...ROLE_ROUTES].sort(), routes.sort());
});
