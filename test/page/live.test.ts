/** The live connection: it is seen at once when it is lost, comes back by itself, and misses nothing. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serve } from '../support/serve.ts';
import { connectProxy, createEntry } from './clients.ts';
import { BROWSER, checkLooks, openPage, PAGE_FLAGS, portOf, screenshot, servePage } from './support.ts';

/** What Chromium writes on the console about a session that has ended. */
const ENDED = /status of 401/;

describe('the live connection of the page', { skip: BROWSER.skip, timeout: 120_000 }, () => {
  it('shows a lost connection at once, and catches up when it is back', async (t) => {
    const served = await servePage(t);
    const { server, cable } = served;
    await createEntry(server);
    const early = await connectProxy(t, server, { node: 'early', answer: 'ack' });
    const { page } = await openPage(t, served, { at: '/proxies' });
    await page.getByRole('link', { name: 'early' }).waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    cable.cut();
    await page.getByText('connection lost', { exact: true }).waitFor();
    await page.getByText('The connection to the server is lost.').waitFor();
    await page.getByRole('link', { name: 'early' }).waitFor();
    await screenshot(page, 'lost');
    await checkLooks(page);
    // What happens meanwhile is not seen by the page.
    early.stream.cancel();
    await connectProxy(t, server, { node: 'meanwhile', answer: 'ack' });
    assert.equal(await page.getByRole('link', { name: 'meanwhile' }).count(), 0);
    await cable.mend();
    await page.getByRole('link', { name: 'meanwhile' }).waitFor();
    await page.getByRole('link', { name: 'early' }).waitFor({ state: 'detached' });
    await page.getByText('live', { exact: true }).waitFor();
    assert.equal(await page.getByText('The connection to the server is lost.').count(), 0);
  });

  it('after a restart of the server, asks for a new link, and says why', async (t) => {
    const served = await servePage(t);
    const { server, cable } = served;
    const { page } = await openPage(t, served, { at: '/proxies', expected: ENDED });
    await page.getByText('live', { exact: true }).waitFor();
    await server.stop();
    await page.getByText('connection lost', { exact: true }).waitFor();
    const { directory, dataDir, socket, adminSocket } = server;
    const again = await serve(t, { place: { directory, dataDir, socket, adminSocket }, flags: PAGE_FLAGS });
    cable.to(await portOf(again));
    await page.getByRole('heading', { name: 'Sign in with a link' }).waitFor();
    await page.getByText('it has ended').waitFor();
  });
});
