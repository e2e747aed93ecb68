/** Signing in to the page, the list of sessions, and their end. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BROWSER, checkLooks, focused, linkTo, openPage, screenshot, servePage, tabTo } from './support.ts';

const REFUSED = /status of 401|status of 403/;

describe('sessions of the page', { skip: BROWSER.skip, timeout: 120_000 }, () => {
  it('signs in by a link, whose code leaves the address at once and works once', async (t) => {
    const served = await servePage(t);
    const { page, context } = await openPage(t, served);
    assert.equal(new URL(page.url()).hash, '');
    assert.equal(new URL(page.url()).pathname, '/ui/');
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    // Not even Back leads to the code.
    assert.equal(await page.evaluate('history.state'), null);
    const [cookie] = await context.cookies();
    assert.ok(cookie?.httpOnly && cookie.sameSite === 'Strict');
    assert.equal(await page.evaluate('document.cookie'), '', 'scripts do not see the cookie');

    const { link, origin } = await linkTo(served);
    const other = await (await served.browser.newContext()).newPage();
    await other.goto(link);
    await other.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await other.goto(link);
    await other.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    const late = await (await served.browser.newContext()).newPage();
    await late.goto(link.replace(origin, `http://other.localhost:${served.cable.port}`));
    await late.getByRole('heading', { name: 'Sign in with a link' }).waitFor();
    await late.getByText('this link was used already').waitFor();
    await checkLooks(late);
  });

  it('lists sessions; ending one shows at once in its page, and asks before', async (t) => {
    const served = await servePage(t);
    const reader = await openPage(t, served, { role: 'read', name: 'reader', at: '/sessions', expected: REFUSED });
    await reader.page.getByRole('row', { name: /reader/ }).waitFor();
    const { page } = await openPage(t, served, { name: 'keeper', at: '/sessions' });
    const rows = page.getByRole('table', { name: 'Sessions' }).getByRole('row');
    await page.getByRole('row', { name: /reader/ }).waitFor();
    assert.equal(await rows.count(), 3);
    await checkLooks(page);
    await screenshot(page, 'sessions');
    assert.equal(await reader.page.getByRole('row').count(), 2, 'a reader sees its own only');

    await page.getByRole('button', { name: 'End session reader' }).click();
    const dialog = page.getByRole('dialog', { name: 'End this session?' });
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await rows.count(), 3);
    await page.getByRole('button', { name: 'End session reader' }).click();
    await dialog.getByRole('button', { name: 'End session' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('row', { name: /reader/ }).waitFor({ state: 'detached' });
    // Its connection ends with it, so its page knows without being asked anything.
    await reader.page.getByRole('heading', { name: 'Sign in with a link' }).waitFor();
  });

  it('signs out by the keyboard alone', async (t) => {
    const served = await servePage(t);
    const { page, context } = await openPage(t, served, { at: '/sessions' });
    await page.getByRole('row', { name: /this one/ }).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to the content');
    await tabTo(page, /^Sign out session/);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Sign out?' });
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.match(await focused(page), /^Sign out session/, 'the focus is back');
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await dialog.getByRole('button', { name: 'Sign out' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('You signed out.').waitFor();
    assert.deepEqual(await context.cookies(), []);
  });
});
