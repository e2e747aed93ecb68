/** The table of proxies and the page of one, with real Envoys and with scripted clients. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { envoyForTests } from '../support/envoy.ts';
import { startMesh } from '../support/mesh.ts';
import { connectProxy, createEntry, DOMAIN, WEB } from './clients.ts';
import { BROWSER, checkLooks, focused, openPage, PAGE_FLAGS, pageOf, screenshot, servePage, tabTo } from './support.ts';

const found = await envoyForTests();

const table = (page: Page) => page.getByRole('table', { name: 'Proxies' });
/** Rows in view, without the headings. */
const rows = (page: Page) => table(page).locator('tbody tr:not(.gap)');

describe('proxies of real Envoys', { skip: BROWSER.skip || found.skip, timeout: 180_000 }, () => {
  it('shows an Envoy with its secrets and their answers, what is sent to it meanwhile, and its end', async (t) => {
    assert.ok(found.skip === false);
    const { server, envoy } = await startMesh(t, found.envoy.path, PAGE_FLAGS);
    const served = await pageOf(t, server);
    const { page } = await openPage(t, served, { at: '/proxies' });
    const row = rows(page).filter({ hasText: String(envoy.pid) });
    await row.getByText('in sync').waitFor();
    assert.match(await row.innerText(), /web/);
    assert.match(await row.innerText(), /in \d+ min/);
    await row.getByRole('link').click();

    await page.getByRole('heading', { name: 'web', level: 1 }).waitFor();
    assert.match(new URL(page.url()).pathname, /^\/ui\/proxies\/pipe-\d+$/);
    const secrets = page.getByRole('table', { name: 'Secrets' });
    for (const name of [WEB, `${DOMAIN}/other`]) {
      const secret = secrets.getByRole('row').filter({ hasText: name }).first();
      await secret.getByText('in sync').waitFor();
    }
    const deliveries = page.getByRole('region', { name: 'Sent and answered' }).getByRole('listitem');
    await deliveries.filter({ hasText: 'acknowledged' }).first().waitFor();
    await screenshot(page, 'proxy');
    await checkLooks(page);

    // A new intermediate: each certificate is sent anew, and acknowledged.
    const before = await deliveries.filter({ hasText: 'acknowledged' }).count();
    assert.equal((await server.request('POST', '/v1/ca/rotate', { role: 'intermediate' })).status, 200);
    await deliveries.filter({ hasText: 'acknowledged' }).nth(before).waitFor();

    await envoy.stop();
    await page.getByText('This connection has ended.').waitFor();
    await page.getByRole('link', { name: 'Proxies', exact: true }).click();
    await page.getByText('No proxy is connected').waitFor();
  });
});

describe('the table of proxies', { skip: BROWSER.skip, timeout: 180_000 }, () => {
  it('keeps filters and order in the address, and follows the server', async (t) => {
    const served = await servePage(t);
    await createEntry(served.server);
    const { server } = served;
    const good = await connectProxy(t, server, { node: 'good', answer: 'ack' });
    await connectProxy(t, server, { node: 'bad', answer: { nack: 'the key does not match' } });
    await connectProxy(t, server, { node: 'waiting', answer: 'none', name: `${DOMAIN}/later` });
    const { page } = await openPage(t, served, { at: '/proxies?state=rejected' });
    await rows(page).getByText('the key does not match').waitFor();
    assert.equal(await rows(page).count(), 1);
    await page.getByText('1 of 3 proxies').waitFor();

    await page.getByRole('checkbox', { name: /held/ }).check();
    assert.deepEqual(query(page).getAll('state'), ['rejected', 'held']);
    await rows(page).nth(1).waitFor();
    await page.getByRole('button', { name: 'Node' }).click();
    await page.getByRole('button', { name: 'Node' }).click();
    assert.equal(query(page).toString(), 'state=rejected&state=held&sort=node&order=down');
    assert.match(await rows(page).first().innerText(), /waiting/);
    assert.equal(await table(page).getByRole('columnheader', { name: 'Node' }).getAttribute('aria-sort'), 'descending');
    await page.reload();
    await rows(page).nth(1).waitFor();
    assert.match(await rows(page).first().innerText(), /waiting/, 'the address has it all');

    await page.getByRole('searchbox').fill('NOT MATCH');
    await page.getByText('1 of 3 proxies').waitFor();
    await page.getByRole('searchbox').fill('nothing of that kind');
    await page.getByRole('link', { name: 'Show all 3' }).click();
    await page.getByText('3 proxies', { exact: true }).waitFor();
    await screenshot(page, 'proxies');
    await checkLooks(page);

    // The entry that it waits for; then a proxy comes, and one goes.
    const waiting = rows(page).filter({ hasText: 'waiting' });
    await waiting.getByText('held').waitFor();
    await createEntry(server, `${DOMAIN}/later`);
    await waiting.getByText('sent').waitFor();
    await connectProxy(t, server, { node: 'new', answer: 'ack' });
    await rows(page).filter({ hasText: 'new' }).getByText('in sync').waitFor();
    good.stream.cancel();
    await rows(page).filter({ hasText: 'good' }).waitFor({ state: 'detached' });
  });

  it('is used by the keyboard alone, with far more rows than are in view', async (t) => {
    const served = await servePage(t);
    await createEntry(served.server);
    const most = 120;
    for (let i = 0; i < most; i += 1) await connectProxy(t, served.server, { node: `node-${i}`, answer: 'ack' });
    const { page } = await openPage(t, served, { at: '/proxies' });
    await page.getByText(`${most} proxies`, { exact: true }).waitFor();
    assert.equal(await table(page).getAttribute('aria-rowcount'), String(most + 1));
    assert.ok((await rows(page).count()) < 60, 'only rows in view are in the document');
    await tabTo(page, 'node-0');
    await page.keyboard.press('ArrowDown');
    await hasFocus(page, /^node-1$/);
    await page.keyboard.press('End');
    await hasFocus(page, new RegExp(`^node-${most - 1}$`));
    await page.keyboard.press('PageUp');
    await page
      .locator(':focus')
      .filter({ hasNotText: `node-${most - 1}` })
      .waitFor();
    const there = await focused(page);
    assert.match(there, /^node-\d+$/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: there, level: 1 }).waitFor();
    // The heading of the new view.
    await page.locator('h1:focus').filter({ hasText: there }).waitFor();
    await page.goBack();
    // The reader is where he was.
    const row = rows(page).filter({ hasText: there });
    await row.waitFor();
    assert.ok(await row.getByRole('link').isVisible());
  });

  it('says what to do first while no proxy is connected', async (t) => {
    const served = await servePage(t);
    const { page, context, origin } = await openPage(t, served, { at: '/proxies' });
    await page.getByText('No proxy is connected').waitFor();
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
    await page.getByRole('button', { name: 'Copy command' }).first().click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    assert.match(await page.evaluate('navigator.clipboard.readText()'), /^sidekey envoy bootstrap --spiffe-id/);
    await checkLooks(page);
    await createEntry(served.server);
    await connectProxy(t, served.server, { node: 'first', answer: 'ack' });
    await rows(page).filter({ hasText: 'first' }).waitFor();
  });

  it('tells a proxy that there is not', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/proxies/pipe-999' });
    await page.getByText('There is no connection of that name').waitFor();
  });
});

function hasFocus(page: Page, text: RegExp): Promise<void> {
  return page.locator(':focus').filter({ hasText: text }).waitFor();
}

function query(page: Page): URLSearchParams {
  return new URL(page.url()).searchParams;
}
