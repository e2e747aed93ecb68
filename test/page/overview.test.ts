/** The overview: what needs attention, authorities, counts, events; times; roles. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { envoyForTests } from '../support/envoy.ts';
import { startMesh } from '../support/mesh.ts';
import { connectProxy, createEntry, DOMAIN, WEB } from './clients.ts';
import { BROWSER, checkLooks, openPage, PAGE_FLAGS, pageOf, screenshot, servePage } from './support.ts';

const found = await envoyForTests();

describe('the overview', { skip: BROWSER.skip, timeout: 180_000 }, () => {
  it('says what to do first on a new server, and follows what is done', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served);
    await page.getByText('No process has an identity yet').waitFor();
    await page.getByText(/^sidekey entry create --spiffe-id spiffe:\/\/ilinux\.io\/web/).waitFor();
    await screenshot(page, 'empty');
    await checkLooks(page);
    await createEntry(served.server);
    const events = page.getByRole('region', { name: 'Last events' }).getByRole('listitem');
    await events.filter({ hasText: 'entry created' }).getByRole('link', { name: WEB }).waitFor();
    await page.getByText('No process has an identity yet').waitFor({ state: 'detached' });
    await page.getByText('No proxy is connected').waitFor();
  });

  it('counts proxies by state, leads to them, and asks for attention', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    await createEntry(server);
    await connectProxy(t, server, { node: 'good', answer: 'ack' });
    const { page } = await openPage(t, served);
    const counts = page.getByRole('table', { name: 'Counts by state' });
    const line = (state: string) => counts.getByRole('row').filter({ hasText: state });
    await line('in sync').getByRole('link', { name: '1' }).waitFor();
    const attention = page.getByRole('region', { name: 'Needs attention' });
    await attention.getByText('all is well').waitFor();
    await connectProxy(t, server, { node: 'bad', answer: { nack: 'no' } });
    await attention.getByText('1 error').waitFor();
    await attention.getByRole('link', { name: '1 proxy rejects what it is sent' }).waitFor();
    await line('rejected').getByRole('link', { name: '1' }).click();
    await page.getByRole('link', { name: 'bad' }).waitFor();
    assert.equal(new URL(page.url()).search, '?state=rejected');
  });

  it('shows findings of the doctor with their fix', async (t) => {
    const served = await servePage(t);
    const selectors = [`unix:uid:${process.getuid!()}`];
    const body = { spiffe_id: WEB, selectors, federates_with: ['spiffe://other.example'] };
    assert.equal((await served.server.request('POST', '/v1/entries', body)).status, 201);
    const { page } = await openPage(t, served);
    const attention = page.getByRole('region', { name: 'Needs attention' });
    const finding = attention.getByRole('listitem').first();
    await finding.waitFor();
    const details = finding.locator('details');
    if ((await details.getAttribute('open')) === null) await finding.locator('summary').click();
    assert.match(await finding.innerText(), /other\.example/);
    await finding
      .getByText(/sidekey bundle set/)
      .first()
      .waitFor();
    await checkLooks(page);
  });

  it('shows times from where the reader is, and the exact one on hover in his zone', async (t) => {
    const served = await servePage(t);
    await createEntry(served.server);
    const { page } = await openPage(t, served, { timeZone: 'Pacific/Auckland' });
    const time = page.getByRole('region', { name: 'Last events' }).locator('time').first();
    await time.waitFor();
    const stamp = (await time.getAttribute('datetime'))!;
    const zone = new Intl.DateTimeFormat('en-GB', {
      timeZone: 'Pacific/Auckland',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    assert.ok((await time.getAttribute('title'))!.includes(zone.format(new Date(stamp))), await time.evaluate('1'));
    assert.match(await time.innerText(), /^now$|^\d+ s ago$/);
    // It goes on by itself.
    await time.filter({ hasText: /^[3-9] s ago$/ }).waitFor();
  });

  it('shows on a line of time what a rotation of the root waits for', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    await createEntry(server);
    await connectProxy(t, server, { node: 'slow', answer: 'none', name: DOMAIN });
    const { page } = await openPage(t, served);
    const authorities = page.getByRole('region', { name: 'Authorities' });
    await authorities.getByText('Root').first().waitFor();
    assert.equal(await authorities.getByText('Root', { exact: true }).count(), 1);
    assert.equal((await server.request('POST', '/v1/ca/rotate', { role: 'root' })).status, 200);
    await authorities.getByText('Root', { exact: true }).nth(1).waitFor();
    await authorities.getByText('if all proxies have acknowledged the bundle with it by then').waitFor();
    await authorities.getByText('Waits for 1 proxy').click();
    await authorities.getByText('slow').waitFor();
    await checkLooks(page);
  });

  it('leaves out what a reader may not do', async (t) => {
    const served = await servePage(t);
    const { page, origin } = await openPage(t, served, { role: 'read' });
    await page.getByRole('link', { name: 'Proxies', exact: true }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Audit' }).count(), 0);
    await page.goto(`${origin}/ui/audit`);
    await page.getByText('This needs the role admin').waitFor();
    await page.getByText('sidekey page --role admin').waitFor();
  });

  it('keeps the choice of colours', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served);
    const back = () => page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
    const light = await back();
    await page.getByLabel('Colours').selectOption('Dark');
    const dark = await back();
    assert.notEqual(dark, light);
    await page.reload();
    await page.getByLabel('Colours').waitFor();
    assert.equal(await back(), dark);
  });
});

describe('the overview with a real Envoy', { skip: BROWSER.skip || found.skip, timeout: 120_000 }, () => {
  it('shows it', async (t) => {
    assert.ok(found.skip === false);
    const { server } = await startMesh(t, found.envoy.path, PAGE_FLAGS);
    await connectProxy(t, server, { node: 'legacy', answer: { nack: 'unsupported key type' } });
    await connectProxy(t, server, { node: 'batch', answer: 'none', name: `${DOMAIN}/batch` });
    const served = await pageOf(t, server);
    for (const scheme of ['light', 'dark'] as const) {
      const { page } = await openPage(t, served, { scheme });
      const counts = page.getByRole('table', { name: 'Counts by state' });
      await counts.getByRole('row').filter({ hasText: 'in sync' }).getByRole('link', { name: '1' }).waitFor();
      await page.getByText('1 proxy rejects').waitFor();
      await screenshot(page, scheme === 'light' ? 'overview' : 'overview-dark');
    }
  });
});
