/** Text of others: markup, marks that change the reading order, and very long texts are shown as text. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { connectProxy, createEntry } from './clients.ts';
import { BROWSER, checkLooks, openPage, overhang, servePage } from './support.ts';

const MARKUP = '<img src=x onerror="globalThis.owned=1"><script>globalThis.owned=1</script>"\'`</bdi></td>';
const BIDI = 'abc\u202egnp.exe\u2066\u200f\u061c\u200b\u0000\u001b[31m';
const LONG = 'x'.repeat(100_000);
const ZALGO = `z${'\u0336\u0489\u0310'.repeat(200)}`;

async function isUnharmed(page: Page): Promise<void> {
  assert.equal(await page.evaluate('globalThis.owned'), undefined, 'markup ran');
  assert.equal(await page.locator('main img, main script').count(), 0, 'markup became elements');
  assert.equal(await overhang(page), 0, 'the page scrolls sideways');
}

describe('hostile text', { skip: BROWSER.skip, timeout: 180_000 }, () => {
  it('in node ids and answers of proxies is text, with unseen characters named', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    await createEntry(server);
    await connectProxy(t, server, { node: MARKUP, answer: { nack: MARKUP } });
    await connectProxy(t, server, { node: BIDI, answer: { nack: `${BIDI}\nsecond line` } });
    await connectProxy(t, server, { node: LONG.slice(0, 30_000), answer: { nack: LONG } });
    await connectProxy(t, server, { node: ZALGO, answer: 'ack' });
    const { page, origin } = await openPage(t, served, { at: '/proxies' });
    await page.getByText('4 proxies', { exact: true }).waitFor();
    const rows = page.getByRole('table', { name: 'Proxies' }).locator('tbody tr');
    assert.ok((await rows.nth(0).innerText()).includes(MARKUP.slice(0, 40)));
    await rows.getByText('U+202E').first().waitFor();
    await isUnharmed(page);
    await checkLooks(page);

    await page.getByRole('link', { name: /onerror/ }).click();
    await page.getByRole('heading', { level: 1 }).filter({ hasText: MARKUP }).waitFor();
    await page.getByRole('table', { name: 'Secrets' }).getByText(MARKUP).waitFor();
    await isUnharmed(page);

    await page.goto(`${origin}/ui/proxies?q=abc`);
    await page.getByRole('link', { name: /gnp\.exe/ }).click();
    const heading = page.getByRole('heading', { level: 1 });
    await heading.getByText('U+202E').waitFor();
    for (const mark of ['U+2066', 'U+200F', 'U+061C', 'U+200B', 'U+0000', 'U+001B'])
      await heading.getByText(mark, { exact: true }).waitFor();
    // No mark is left in what is shown.
    assert.doesNotMatch(await page.locator('main').innerText(), /[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u061c]/);
    await checkLooks(page);

    await page.goto(`${origin}/ui/proxies?q=xxxx`);
    await page.getByRole('link', { name: /xxxx/ }).click();
    const secrets = page.getByRole('table', { name: 'Secrets' });
    const more = secrets.getByRole('button', { name: /^Show all [\d,]+ characters$/ });
    const length = Number(/[\d,]+/.exec(await more.innerText())![0].replaceAll(',', ''));
    assert.ok((await secrets.innerText()).length < length, 'it is cut at first');
    await more.click();
    await secrets.getByRole('button', { name: 'Show less' }).waitFor();
    assert.ok((await secrets.innerText()).length > length);
    await isUnharmed(page);
    await checkLooks(page);
  });

  it('in selectors is text', async (t) => {
    const served = await servePage(t);
    const selectors = [`unix:uid:${process.getuid!()}`, `docker:label:x:${MARKUP}`];
    const body = { spiffe_id: 'spiffe://ilinux.io/label', selectors };
    assert.equal((await served.server.request('POST', '/v1/entries', body)).status, 201);
    const { page } = await openPage(t, served);
    await page.getByRole('region', { name: 'Last events' }).getByText('entry created').waitFor();
    const finding = page.getByRole('region', { name: 'Needs attention' }).getByRole('listitem').first();
    await finding.waitFor();
    await isUnharmed(page);
  });
});
