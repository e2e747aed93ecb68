/** Why a caller has its identities and lacks others, in the page: facts, near misses, what would help. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openStream } from '../support/sds-client.ts';
import type { Served } from '../support/serve.ts';
import { BROWSER, checkLooks, openPage, screenshot, servePage } from './support.ts';

const UID = process.getuid!();
const MINE = `unix:uid:${UID}`;
const REFUSED = /status of 4(00|04)/;
const idOf = (name: string) => `spiffe://ilinux.io/${name}`;

async function make({ request }: Served, name: string, selectors: readonly string[], more: object = {}) {
  const { status, body } = await request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return body as { id: string };
}

describe('why, in the page', { skip: BROWSER.skip, timeout: 600_000 }, () => {
  it('explains a process: verdict, near misses side by side, what would help, and each fact with its source', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    await make(server, 'web', [MINE], { hint: 'default' });
    await make(server, 'payments/api', [MINE, 'unix:path:/usr/bin/envoy']);
    await make(server, 'payments/db', [MINE, 'unix:user:postgres', '!unix:path:/usr/bin/psql']);
    await make(server, 'old', [MINE], { expires_at: '2020-01-01T00:00:00Z' });
    const { page, context, origin } = await openPage(t, served, { at: '/why' });
    await page.getByRole('heading', { name: 'Give a process, a container or facts' }).waitFor();
    await page.getByText('None: every caller got what it asked for.').waitFor();
    await checkLooks(page);
    // By the keyboard alone.
    await page.getByLabel('PID', { exact: true }).focus();
    await page.keyboard.type(String(process.pid));
    await page.keyboard.press('Tab');
    await page.keyboard.type(idOf('payments/api'));
    await page.keyboard.press('Enter');
    await page.getByText('not given').waitFor();
    assert.equal(new URL(page.url()).searchParams.get('pid'), String(process.pid));
    assert.equal(await page.getByLabel('PID', { exact: true }).inputValue(), String(process.pid));

    const near = page.getByRole('article').filter({ hasText: 'payments/api' });
    await near.getByText('has 1 of 2').waitFor();
    assert.match((await near.textContent())!, /lacks.*unix:path:\/usr\/bin\/envoy.*the caller has.*unix:path:/s);
    assert.match((await near.textContent())!, new RegExp(`has.*${MINE}`, 's'));
    await page.getByText(`${idOf('web')} by the entry`).waitFor();
    const fact = page.getByRole('table', { name: 'Facts' }).getByRole('row').filter({ hasText: MINE });
    await fact.getByText('the kernel: SO_PEERCRED').waitFor();
    await checkLooks(page);

    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
    await page.getByRole('button', { name: 'Copy command' }).first().click();
    const copied = await page.evaluate<string>('navigator.clipboard.readText()');
    assert.match(copied, /^sidekey entry create --spiffe-id spiffe:\/\/ilinux\.io\/payments\/api --selector /);
    // The answer follows the entries.
    await make(server, 'payments/api', [MINE], { hint: 'second' });
    await page.getByText('given', { exact: true }).waitFor();

    await page.goto(`${origin}/ui/why?pid=${process.pid}`);
    await page.getByText('It gets 2 identities.').waitFor();
    await page.getByRole('article').nth(1).waitFor();
    await page.goto(`${origin}/ui/why?pid=${process.pid}&spiffe_id=${idOf('old')}`);
    await page.getByRole('article').getByText('expired', { exact: true }).waitFor();
  });

  it('leads from a held request, of the list and of its proxy, to the decision, and to an entry that gives it', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    await make(server, 'web', ['unix:user:nobody', MINE]);
    const stream = openStream(t, server.socket, idOf('web'));
    const { page, origin } = await openPage(t, served, { at: '/why' });
    const row = page
      .getByRole('table', { name: 'Decisions' })
      .getByRole('row')
      .filter({ hasText: idOf('web') });
    await row.getByText('held', { exact: true }).waitFor();
    await checkLooks(page);
    await row.getByRole('link', { name: 'Why' }).click();
    await page.getByRole('heading', { name: 'The decision' }).waitFor();
    await page.getByRole('heading', { name: 'Facts that the server had then' }).waitFor();
    await page.getByRole('heading', { name: 'The same facts now' }).waitFor();
    await page.getByRole('article').getByText('has 1 of 2').waitFor();
    await checkLooks(page);
    const { proxies } = (await server.request('GET', '/v1/proxies')).body;
    await page.getByRole('link', { name: proxies[0].connection }).click();
    await page.getByRole('link', { name: 'Why', exact: true }).first().waitFor();
    await page.goBack();
    await page.getByRole('link', { name: 'Ask about the process itself now' }).click();
    await page.getByRole('link', { name: 'Make an entry for it' }).click();
    await page.getByRole('heading', { name: 'New entry', level: 1 }).waitFor();
    assert.equal(await page.getByLabel('SPIFFE ID', { exact: true }).inputValue(), idOf('web'));
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision 1.').waitFor();
    await stream.next();
    await page.goto(`${origin}/ui/why`);
    await row.getByText('was held').waitFor();
  });

  it('explains assumed facts, and points at a value that is probably mistyped', async (t) => {
    const served = await servePage(t);
    await make(served.server, 'web', ['unix:user:envoy', 'unix:uid:1000']);
    const { page } = await openPage(t, served, { at: '/why' });
    await page.getByRole('radio', { name: 'Facts' }).check();
    await page.getByLabel('Facts', { exact: true }).last().fill('unix:uid:1000\nunix:user:envoi\n');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('It gets no identity.').waitFor();
    const near = page.getByRole('article');
    await near.getByText('is nearly the same: a typing mistake?').waitFor();
    await near.getByText('has 1 of 2').waitFor();
    assert.deepEqual(new URL(page.url()).searchParams.getAll('selector'), ['unix:uid:1000', 'unix:user:envoi']);
    await make(served.server, 'orders', ['unix:uid:1000', 'unix:path:/usr/bin/envoy']);
    await near.nth(1).waitFor();
    await page.setViewportSize({ width: 1280, height: 1080 });
    await screenshot(page, 'why');
  });

  it('says what is missing in the form, and what the server does not know', async (t) => {
    const served = await servePage(t);
    const { page, origin } = await openPage(t, served, { at: '/why', expected: REFUSED });
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('give the PID of a running process, a number').waitFor();
    await page.getByLabel('PID', { exact: true }).fill('4194303');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page
      .getByRole('alert')
      .getByText(/4194303/)
      .waitFor();
    await page.goto(`${origin}/ui/why?container=web`);
    await page.getByRole('alert').getByText('start sidekey serve with --docker-socket').first().waitFor();
    await checkLooks(page);
    await page.goto(`${origin}/ui/why?decision=none`);
    await page.getByRole('heading', { name: 'There is no decision of that ID' }).waitFor();
  });

  it('shows hostile facts and reasons as text', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    const markup = '<img src=x onerror=alert(1)>\u202e';
    await make(server, 'web', [`docker:label:a:${markup}`, MINE]);
    const query = new URLSearchParams({ selector: `docker:label:a:${markup}x`, spiffe_id: idOf('web') });
    query.append('selector', MINE);
    query.append('selector', `docker:label:long:${'ab'.repeat(2_000)}`);
    const { page } = await openPage(t, served, { at: `/why?${query}` });
    await page.getByRole('article').getByText('U+202E').first().waitFor();
    assert.equal(await page.locator('main img').count(), 0);
    await checkLooks(page);
  });

  it('shows a reader the same, without what it may not do', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: `/why?pid=${process.pid}`, role: 'read' });
    await page.getByText('It gets no identity.').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Make an entry for it' }).count(), 0);
  });
});
