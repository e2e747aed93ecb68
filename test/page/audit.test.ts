/** The audit in the page: who changed what, and the chain. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { BROWSER, checkLooks, openPage, screenshot, servePage } from './support.ts';

const idOf = (name: string) => `spiffe://ilinux.io/${name}`;
const selectors = [`unix:uid:${process.getuid!()}`];

describe('the audit, in the page', { skip: BROWSER.skip, timeout: 300_000 }, () => {
  it('searches by actor, action, target and time, shows what changed, and what verifies the chain', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const web = (await request('POST', '/v1/entries', { spiffe_id: idOf('web'), selectors })).body;
    await request('PATCH', `/v1/entries/${web.id}`, { hint: '<b>hostile</b>' });
    await request('PUT', '/v1/aliases/web.example', { spiffe_id: idOf('web') });
    const { page, origin } = await openPage(t, served, { at: '/audit' });
    const rows = page.getByRole('table', { name: 'Audit' }).locator('tbody');
    await rows.filter({ hasText: 'alias.created' }).waitFor();
    await checkLooks(page);
    await screenshot(page, 'audit');

    await page.getByLabel('Action').fill('entry');
    await rows.filter({ hasText: 'alias.created' }).waitFor({ state: 'detached' });
    assert.equal(await rows.count(), 2);
    assert.equal(new URL(page.url()).searchParams.get('action'), 'entry');
    const changed = rows.filter({ hasText: 'entry.changed' });
    await changed.getByText('Details').click();
    await changed.getByText('<b>hostile</b>').waitFor();
    assert.equal(await page.locator('main b', { hasText: 'hostile' }).count(), 0);
    await checkLooks(page);
    await page.getByLabel('Action').fill('');
    await page.getByLabel('Actor').fill('session');
    await rows.filter({ hasText: 'alias.created' }).waitFor({ state: 'detached' });
    assert.ok((await rows.count()) >= 1);
    await page.getByLabel('Actor').fill('');
    await page.getByLabel('Target').fill('web.example');
    await rows.filter({ hasText: 'entry.created' }).waitFor({ state: 'detached' });
    await rows.filter({ hasText: 'alias.created' }).waitFor();
    await page.goto(`${origin}/ui/audit?until=2020-01-01T00:00:00Z`);
    await page.getByRole('heading', { name: 'No row matches' }).waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await rows.filter({ hasText: 'alias.created' }).waitFor();

    const command = (await page.getByText(/^sidekey audit verify --expect [0-9a-f]{64}$/).textContent())!;
    const [, ...words] = command.split(' ');
    const said = execFileSync(path.join(ROOT, 'bin/sidekey'), [
      ...words,
      '--admin-socket',
      served.server.adminSocket,
    ]).toString();
    assert.match(said, /\d/);
  });

  it('exports all rows as a file', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/audit' });
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Export all' }).click(),
    ]);
    assert.equal(file.suggestedFilename(), 'sidekey-audit.jsonl');
    const [first, ...rest] = readFileSync(await file.path(), 'utf8')
      .trim()
      .split('\n');
    assert.match(first!, /"chain":"sidekey-audit\/1"/);
    assert.ok(rest.some((line) => JSON.parse(line).action === 'session.created'));
  });

  it('goes through pages', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const entries = Array.from({ length: 120 }, (_, at) => ({ spiffe_id: idOf(`e${at}`), selectors }));
    assert.equal((await request('POST', '/v1/entries', { entries })).status, 201);
    const { page } = await openPage(t, served, { at: '/audit?action=entry.created' });
    const rows = page.getByRole('table', { name: 'Audit' }).locator('tbody');
    await page.getByRole('button', { name: 'Next page' }).click();
    await rows.nth(20).waitFor({ state: 'detached' });
    assert.equal(await rows.count(), 20);
    await page.getByRole('button', { name: 'First page' }).click();
    await rows.nth(99).waitFor();
  });

  it('is for the role admin alone', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/audit', role: 'entries' });
    await page.getByRole('heading', { name: 'This needs the role admin' }).waitFor();
    assert.equal(await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Audit' }).count(), 0);
    await checkLooks(page);
  });
});
