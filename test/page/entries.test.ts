/** The entries in the page: search, form, preview before saving, conflicts, and what each role sees. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { namesOf, openStream } from '../support/sds-client.ts';
import { makePlace, type Served } from '../support/serve.ts';
import { BROWSER, type Cleanup, checkLooks, openPage, type PageServer, screenshot, servePage } from './support.ts';

const UID = process.getuid!();
const MINE = `unix:uid:${UID}`;
const REFUSED = /status of 4(00|04|09|12)/;
const idOf = (name: string) => `spiffe://ilinux.io/${name}`;

async function make({ request }: Served, name: string, selectors: readonly string[] = [MINE], more: object = {}) {
  const { status, body } = await request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return body as { id: string; revision_number: number };
}

const stored = async ({ request }: Served) =>
  (await request('GET', '/v1/entries')).body.entries.map((one: { spiffe_id: string }) => one.spiffe_id);

const rows = (page: Page) => page.getByRole('table', { name: 'Entries' }).locator('tbody tr:not(.gap)');

/** A caller that has asked for these names; it runs in this process. */
function ask(t: Cleanup, { server }: PageServer, ...names: string[]) {
  return openStream(t, server.socket, ...names);
}

describe('entries in the page', { skip: BROWSER.skip, timeout: 900_000 }, () => {
  it('says what to do first where there is no entry, and shows one that comes', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/entries' });
    await page.getByRole('heading', { name: 'No process has an identity yet' }).waitFor();
    await page.getByText('sidekey entry create --spiffe-id').waitFor();
    await checkLooks(page);
    await make(served.server, 'web');
    await page.getByRole('link', { name: idOf('web') }).waitFor();
  });

  it('searches, with the filters in the address, and goes through pages', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    const many = Array.from({ length: 520 }, (_, at) => ({
      spiffe_id: idOf(`batch/${String(at).padStart(3, '0')}`),
      selectors: [`unix:uid:${10_000 + at}`],
    }));
    assert.equal((await server.request('PUT', '/v1/entries', { source: 'ci', entries: many })).status, 200);
    await make(server, 'payments/api', [MINE, 'unix:user:envoy'], { hint: 'default' });
    await make(server, 'old', ['unix:uid:4711'], { expires_at: '2020-01-01T00:00:00Z' });
    const { page, origin } = await openPage(t, served, { at: '/entries' });
    await page.getByText('500 entries on this page').waitFor();
    await page.getByRole('button', { name: 'Next page' }).click();
    await page.getByText('22 entries on this page').waitFor();
    assert.match(page.url(), /cursor=/);
    await page.getByRole('button', { name: 'Previous page' }).click();
    await page.getByText('500 entries on this page').waitFor();

    await page.getByRole('searchbox', { name: 'Search' }).fill('USER:envoy');
    await page.getByText('1 entry', { exact: true }).waitFor();
    assert.equal(await rows(page).count(), 1);
    assert.equal(new URL(page.url()).searchParams.get('search'), 'USER:envoy');
    await page.reload();
    await page.getByText('1 entry', { exact: true }).waitFor();
    assert.equal(await page.getByRole('searchbox', { name: 'Search' }).inputValue(), 'USER:envoy');
    await page.getByRole('searchbox', { name: 'Search' }).fill('no such thing');
    await page.getByRole('heading', { name: 'No entry matches' }).waitFor();
    await page.getByRole('button', { name: 'Show all entries' }).click();
    await page.getByText('500 entries on this page').waitFor();

    await page.goto(`${origin}/ui/entries?source=api`);
    await page.getByText('2 entries', { exact: true }).waitFor();
    assert.match((await rows(page).nth(1).textContent())!, /old.*expired/);
    await checkLooks(page);
    await page.goto(`${origin}/ui/entries?selector=unix:uid:10007`);
    await page.getByText('1 entry', { exact: true }).waitFor();
    await page.getByRole('button', { name: /Remove the filter/ }).click();
    await page.getByText('500 entries on this page').waitFor();
  });

  it('makes an entry by the keyboard alone, and shows who would gain it before anything is saved', async (t) => {
    const served = await servePage(t);
    const { server } = served;
    const stream = ask(t, served, idOf('web'));
    const { page } = await openPage(t, served, { at: '/entries' });
    await tabTo(page, 'New entry');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'New entry', level: 1 }).waitFor();
    await tabTo(page, 'SPIFFE ID');
    await page.keyboard.press('End');
    await page.keyboard.type('web');
    await tabTo(page, 'Selector 1');
    await page.keyboard.type(MINE);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Make this entry?' });
    await dialog.getByRole('row', { name: new RegExp(`process ${process.pid}.*gain.*${idOf('web')}`) }).waitFor();
    assert.deepEqual(await stored(server), [], 'nothing is saved by the preview');
    await checkLooks(page);

    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await page.getByLabel('Selector 1', { exact: true }).inputValue(), MINE);
    await tabTo(page, 'Preview');
    await page.keyboard.press('Enter');
    await tabTo(page, 'Save');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: idOf('web'), level: 1 }).waitFor();
    await page.getByText('Saved as revision 1.').waitFor();
    assert.deepEqual(namesOf(await stream.next()), [idOf('web')], 'the caller has it');
    await page.getByRole('table', { name: 'Proxies that ask for it' }).waitFor();
    await checkLooks(page);
    await screenshot(page, 'entry');
  });

  it("puts the server's errors beside their fields, with the focus on the first, and shows warnings", async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/entries/+new', expected: REFUSED });
    await page.getByLabel('SPIFFE ID').fill('http://ilinux.io/web');
    await page.getByRole('button', { name: 'Add selector' }).click();
    await page.getByRole('button', { name: 'Add selector' }).click();
    await page.getByLabel('Selector 1', { exact: true }).fill(MINE);
    // The empty second line is not sent, and the error is at the third all the same.
    await page.getByLabel('Selector 3', { exact: true }).fill('unix:usr:envoy');
    await page.getByText('Lifetimes, names').click();
    await page.getByLabel('TTL of X.509-SVIDs').fill('soon');
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.getByText('3 problems are beside their fields.').waitFor();
    assert.equal(await focused(page), 'SPIFFE ID');
    await invalid(page, 'SPIFFE ID', /spiffe:/);
    await invalid(page, 'Selector 3', /usr.*user/);
    await invalid(page, 'TTL of X.509-SVIDs', /soon/);
    assert.equal(await page.locator('[aria-invalid="true"]').count(), 3);
    await checkLooks(page);
    assert.deepEqual(await stored(served.server), []);

    await page.getByLabel('SPIFFE ID').fill(idOf('web'));
    await page.getByLabel('Selector 3', { exact: true }).fill('unix:user:no-such-user');
    await page.getByLabel('TTL of X.509-SVIDs').fill('90d');
    await page.getByRole('button', { name: 'Preview' }).click();
    const dialog = page.getByRole('dialog', { name: 'Make this entry?' });
    await dialog.getByText('/x509_svid_ttl').waitFor();
    await dialog.getByText('No running caller would gain, lose or change an identity.').waitFor();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('It was accepted, but probably does not do what was meant:').waitFor();
    await page.getByText('/x509_svid_ttl').waitFor();
  });

  it('says which entry is the same already, and keeps what was typed when one looks at it', async (t) => {
    const served = await servePage(t);
    const { id } = await make(served.server, 'web');
    const { page } = await openPage(t, served, { at: '/entries/+new', expected: REFUSED });
    await page.getByLabel('SPIFFE ID').fill(idOf('web'));
    await page.getByLabel('Selector 1', { exact: true }).fill(MINE);
    await page.getByLabel('Hint').fill('typed');
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.getByRole('alert').getByRole('link', { name: id }).click();
    await page.getByRole('heading', { name: idOf('web'), level: 1 }).waitFor();
    await page.goBack();
    await page.getByText('What you typed before and did not save is here again.').waitFor();
    assert.equal(await page.getByLabel('Hint').inputValue(), 'typed');
    await page.getByRole('button', { name: 'Discard it' }).click();
    assert.equal(await page.getByLabel('Hint').inputValue(), '');
  });

  it('shows who would lose an identity or get another certificate by a change', async (t) => {
    const served = await servePage(t);
    const { id } = await make(served.server, 'web');
    const { id: other } = await make(served.server, 'db');
    const stream = ask(t, served, idOf('web'), idOf('db'));
    assert.deepEqual(namesOf(await stream.next()), [idOf('db'), idOf('web')]);
    const { page, origin } = await openPage(t, served, { at: `/entries/${id}/edit` });
    assert.ok(await page.getByRole('button', { name: 'Preview' }).isDisabled(), 'nothing is changed yet');
    await page.getByLabel('Selector 1', { exact: true }).fill('unix:uid:4711');
    await page.getByRole('button', { name: 'Preview' }).click();
    const dialog = page.getByRole('dialog', { name: 'Save this change?' });
    await dialog.getByRole('row', { name: new RegExp(`process ${process.pid}.*lose.*${idOf('web')}`) }).waitFor();
    await dialog.getByRole('row', { name: /Selectors.*removed.*unix:uid/ }).waitFor();
    await screenshot(page, 'preview');
    await page.goto(`${origin}/ui/entries/${other}/edit`);
    await page.getByText('Lifetimes, names').click();
    await page.getByRole('button', { name: 'Add DNS name' }).click();
    await page.getByLabel('DNS name 1', { exact: true }).fill('db.example');
    await page.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByRole('row', { name: /get a new certificate for.*db/ }).waitFor();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision 2.').waitFor();
    assert.deepEqual((await served.server.request('GET', `/v1/entries/${other}`)).body.dns_names, ['db.example']);
  });

  it('shows a change that somebody else made meanwhile as a difference, and loses nothing that was typed', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const { id } = await make(served.server, 'web', [MINE], { hint: 'before', dns_names: ['a.example'] });
    const { page } = await openPage(t, served, { at: `/entries/${id}/edit`, expected: REFUSED });
    await page.getByLabel('Hint').fill('mine');
    await page.getByRole('button', { name: 'Add selector' }).click();
    await page.getByLabel('Selector 2', { exact: true }).fill('unix:user:alice');
    await page.getByRole('button', { name: 'Preview' }).click();
    const review = page.getByRole('dialog', { name: 'Save this change?' });
    await review.waitFor();
    const theirs = { hint: 'theirs', dns_names: ['a.example', 'b.example'] };
    assert.equal((await request('PATCH', `/v1/entries/${id}`, theirs)).status, 200);
    await review.getByRole('button', { name: 'Save' }).click();

    const conflict = page.getByRole('dialog', { name: 'Somebody changed this entry meanwhile' });
    await conflict.getByText('The entry is at revision 2').waitFor();
    const row = (name: RegExp) => conflict.getByRole('row', { name });
    await row(/Hint.*both changed it.*before.*theirs.*mine/).waitFor();
    await row(/DNS names.*added.*b\.example/).waitFor();
    assert.equal((await request('GET', `/v1/entries/${id}`)).body.hint, 'theirs', 'nothing was saved');
    await checkLooks(page);
    await screenshot(page, 'conflict');
    await conflict.getByRole('radio', { name: /theirs for Hint/ }).check();
    await conflict.getByRole('radio', { name: /mine for Hint/ }).check();
    await conflict.getByRole('button', { name: 'Take this into the form' }).click();
    assert.equal(await page.getByLabel('Hint').inputValue(), 'mine');
    assert.equal(await page.getByLabel('Selector 2', { exact: true }).inputValue(), 'unix:user:alice');
    assert.equal(await page.getByLabel('DNS name 2', { exact: true }).inputValue(), 'b.example');
    await page.getByRole('button', { name: 'Preview' }).click();
    await review.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision 3.').waitFor();
    const { body } = await request('GET', `/v1/entries/${id}`);
    assert.equal(body.hint, 'mine');
    assert.deepEqual(body.dns_names, ['a.example', 'b.example']);
    assert.equal(body.selectors.length, 2);
  });

  it('tells of a change and of a deletion while one types; the typed becomes a new entry', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const { id } = await make(served.server, 'web');
    const { page } = await openPage(t, served, { at: `/entries/${id}/edit`, expected: REFUSED });
    await page.getByLabel('Hint').fill('mine');
    await request('PATCH', `/v1/entries/${id}`, { dns_names: ['b.example'] });
    await page.getByText('Somebody changed this entry meanwhile.').waitFor();
    await page.getByRole('button', { name: 'Compare' }).click();
    await page.getByRole('button', { name: 'Take this into the form' }).click();
    await page.getByText('Somebody changed this entry meanwhile.').waitFor({ state: 'detached' });
    assert.equal((await request('DELETE', `/v1/entries/${id}`)).status, 204);
    await page.getByText('Somebody deleted this entry meanwhile.').waitFor();
    await page.getByRole('button', { name: 'Make it a new entry' }).click();
    assert.equal(await page.getByLabel('Hint').inputValue(), 'mine');
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.getByRole('dialog', { name: 'Make this entry?' }).getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved as revision 1.').waitFor();
    assert.deepEqual(await stored(served.server), [idOf('web')]);
  });

  it('deletes after it has said who loses, not what somebody changed meanwhile, and revokes if asked', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const { id } = await make(served.server, 'web');
    const stream = ask(t, served, idOf('web'));
    await stream.next();
    const { page } = await openPage(t, served, { at: `/entries/${id}`, expected: REFUSED });
    await page.getByRole('button', { name: 'Delete' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete this entry?' });
    await dialog.getByRole('row', { name: new RegExp(`process ${process.pid}.*lose.*${idOf('web')}`) }).waitFor();
    await checkLooks(page);
    await request('PATCH', `/v1/entries/${id}`, { hint: 'theirs' });
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await dialog.getByRole('row', { name: /Hint.*theirs/ }).waitFor();
    assert.deepEqual(await stored(served.server), [idOf('web')]);
    await dialog.getByRole('checkbox', { name: 'Revoke its certificates too' }).check();
    await dialog.getByRole('combobox', { name: 'Reason' }).selectOption('key-compromise');
    await dialog.getByRole('button', { name: 'Delete and revoke' }).click();
    await page.getByRole('heading', { name: 'Entries', level: 1 }).waitFor();
    assert.deepEqual(await stored(served.server), []);
    const { revocations } = (await request('GET', '/v1/revocations')).body;
    assert.ok(revocations.length > 0);
    for (const { reason } of revocations) assert.equal(reason, 'key-compromise');
  });

  it('offers a reader nothing that would be refused', async (t) => {
    const served = await servePage(t);
    const { id } = await make(served.server, 'web');
    const { page, origin } = await openPage(t, served, { at: '/entries', role: 'read' });
    await page.getByRole('link', { name: idOf('web') }).click();
    await page.getByRole('heading', { name: idOf('web'), level: 1 }).waitFor();
    assert.equal(
      await page
        .getByRole('main')
        .getByRole('button', { name: /Delete|Edit|Revoke/ })
        .count(),
      0,
    );
    assert.equal(await page.getByRole('link', { name: /Edit|New entry|Audit|Who changed it/ }).count(), 0);
    await checkLooks(page);
    for (const at of [`/entries/${id}/edit`, '/entries/+new']) {
      await page.goto(`${origin}/ui${at}`);
      await page.getByRole('heading', { name: 'This needs the role entries' }).waitFor();
    }
  });

  it('shows entries of the entries file as read-only, with the file; those of apply with a note', async (t) => {
    const place = makePlace(t);
    const file = path.join(place.directory, 'entries.yaml');
    writeFileSync(file, `entries:\n  - spiffe_id: ${idOf('declared')}\n    selectors: [${MINE}]\n`, { mode: 0o600 });
    const served = await servePage(t, ['--entries', file]);
    const { request } = served.server;
    const { entries } = (await request('GET', '/v1/entries')).body;
    const { page, origin } = await openPage(t, served, { at: `/entries/${entries[0].id}` });
    await page.getByText(file).waitFor();
    await page.getByText('systemctl reload sidekey').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Edit' }).count(), 0);
    assert.equal(await page.getByRole('main').getByRole('button', { name: 'Delete' }).count(), 0);
    await checkLooks(page);
    await page.goto(`${origin}/ui/entries/${entries[0].id}/edit`);
    await page.getByText("The server's entries file declares this entry").waitFor();
    const list = [{ spiffe_id: idOf('ci'), selectors: [MINE] }];
    const { created } = (await request('PUT', '/v1/entries', { source: 'ci', entries: list })).body;
    await page.goto(`${origin}/ui/entries/${created[0].id}`);
    await page.getByText('undoes changes that are made here').waitFor();
    await page.getByRole('link', { name: 'Edit' }).waitFor();
  });

  it('shows hostile texts of entries as text', async (t) => {
    const served = await servePage(t);
    const markup = '<img src=x onerror=alert(1)>\u202e\u200b';
    const long = `docker:label:x:${'ab'.repeat(4_000)}`;
    const hostile = [MINE, `docker:label:a:${markup}`, long];
    const { id } = await make(served.server, 'web', hostile, { hint: '<b>hint</b>' });
    const { page, origin } = await openPage(t, served, { at: '/entries' });
    await page.getByRole('link', { name: idOf('web') }).waitFor();
    await checkLooks(page);
    await page.goto(`${origin}/ui/entries/${id}`);
    await page.getByText('<b>hint</b>').waitFor();
    await page.getByText('U+202E').first().waitFor();
    assert.equal(await page.locator('main img').count(), 0);
    await checkLooks(page);
    await page.getByRole('button', { name: /Show all 8,015 characters/ }).click();
    await page.goto(`${origin}/ui/entries/${id}/edit`);
    await page.getByLabel('Hint').fill('other');
    await page.getByRole('button', { name: 'Preview' }).click();
    await page
      .getByRole('dialog')
      .getByRole('row', { name: /Hint.*<b>hint<\/b>.*other/ })
      .waitFor();
    await checkLooks(page);
  });

  it('takes the screenshot of the list', async (t) => {
    const served = await servePage(t);
    for (const name of ['web', 'payments/api', 'payments/db', 'orders', 'mail/{unix.user}'])
      await make(served.server, name, [MINE, `unix:user:${name.split('/')[0]}`]);
    const { page } = await openPage(t, served, { at: '/entries' });
    await page.getByText('5 entries').waitFor();
    await screenshot(page, 'entries');
  });
});

/** Presses Tab until the element of this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 80; i += 1) {
    if ((await focused(page)) === name) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not reach ${name}`);
}

/** The name of the element that has the focus. */
function focused(page: Page): Promise<string> {
  return page.evaluate<string>(`(() => {
    const { activeElement: element } = document;
    const label = element.labels?.[0]?.textContent ?? element.getAttribute('aria-label') ?? element.textContent;
    return label.trim();
  })()`);
}

/** Checks that a field says what is wrong with it, for screen readers too. */
async function invalid(page: Page, name: string, error: RegExp): Promise<void> {
  const field = page.getByLabel(name, { exact: true });
  assert.equal(await field.getAttribute('aria-invalid'), 'true', name);
  const ids = (await field.getAttribute('aria-describedby'))!.split(' ');
  const texts = await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).textContent()));
  assert.match(texts.join(' '), error);
}
