/** What was issued, in the page: search, revocation, and what is revoked. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openStream } from '../support/sds-client.ts';
import type { Served } from '../support/serve.ts';
import { BROWSER, type Cleanup, checkLooks, openPage, type PageServer, screenshot, servePage } from './support.ts';

const MINE = `unix:uid:${process.getuid!()}`;
const idOf = (name: string) => `spiffe://ilinux.io/${name}`;

interface Issued {
  readonly serial: string;
  readonly spiffe_id: string;
  readonly entry_id: string;
}

/** Has certificates issued for entries of these names. */
async function issue(t: Cleanup, { server }: Pick<PageServer, 'server'>, ...names: string[]): Promise<Issued[]> {
  for (const name of names) {
    const { status } = await server.request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors: [MINE] });
    assert.equal(status, 201);
  }
  await openStream(t, server.socket, ...names.map(idOf)).next();
  const { issuances } = (await server.request('GET', '/v1/issuances')).body;
  return names.map((name) => issuances.find((one: Issued) => one.spiffe_id === idOf(name)));
}

async function revocations({ request }: Served): Promise<{ serial: string; reason: string }[]> {
  return (await request('GET', '/v1/revocations')).body.revocations;
}

describe('issuances, in the page', { skip: BROWSER.skip, timeout: 600_000 }, () => {
  it('says when nothing was issued, and shows what is issued then', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/issuances' });
    await page.getByRole('heading', { name: 'Nothing has been issued yet' }).waitFor();
    await checkLooks(page);
    const [web] = await issue(t, served, 'web');
    await page.getByText(web!.serial, { exact: true }).waitFor();
  });

  it('searches by SPIFFE ID and its beginning, serial number, entry, kind and time; the address has the filters', async (t) => {
    const served = await servePage(t);
    const [web, api, db] = await issue(t, served, 'web', 'payments/api', 'payments/db');
    const { page } = await openPage(t, served, { at: '/issuances', expected: /status of 400/ });
    const rows = page.getByRole('table', { name: 'Issuances' }).locator('tbody');
    const found = async (...expected: Issued[]) => {
      for (const { serial } of [web!, api!, db!])
        await page
          .getByText(serial, { exact: true })
          .waitFor({ state: expected.some((one) => one.serial === serial) ? 'visible' : 'detached' });
    };
    await found(web!, api!, db!);
    await checkLooks(page);
    await screenshot(page, 'issuances');
    const spiffeId = page.getByLabel('SPIFFE ID', { exact: true });
    await spiffeId.fill(idOf('web'));
    await found(web!);
    assert.equal(new URL(page.url()).searchParams.get('spiffe_id'), idOf('web'));
    await spiffeId.fill(`${idOf('payments/')}*`);
    await found(api!, db!);
    await spiffeId.fill('');
    await page.getByLabel('Serial number').fill(db!.serial.toUpperCase());
    await found(db!);
    await page.getByLabel('Serial number').fill('not hex');
    await page.getByText(/not hex/).waitFor();
    assert.equal(await page.getByLabel('Serial number').getAttribute('aria-invalid'), 'true');
    await page.getByLabel('Serial number').fill('');
    await page.getByLabel('Entry ID').fill(api!.entry_id);
    await found(api!);
    await page.getByLabel('Entry ID').fill('');
    await found(web!, api!, db!);
    await page.getByLabel('What', { exact: true }).selectOption('jwt');
    await page.getByRole('heading', { name: 'Nothing that was issued matches' }).waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await found(web!, api!, db!);
    await page.getByLabel('Until').fill('2020-01-01T00:00:00');
    await page.getByRole('heading', { name: 'Nothing that was issued matches' }).waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.getByLabel('Issued from').fill('2020-01-01T00:00:00');
    await found(web!, api!, db!);
    assert.equal(await rows.count(), 3);
  });

  it('revokes one certificate with a reason, says so, and lists it; a hold can be undone', async (t) => {
    const served = await servePage(t);
    const [web] = await issue(t, served, 'web', 'db');
    const { page } = await openPage(t, served, { at: '/issuances', role: 'entries' });
    const row = page.getByRole('table', { name: 'Issuances' }).locator('tbody').filter({ hasText: web!.serial });
    const button = row.getByRole('button', { name: `Revoke certificate ${web!.serial}` });
    await button.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Revoke?' });
    await dialog.getByText(web!.serial).waitFor();
    await checkLooks(page);
    await page.keyboard.press('Escape');
    assert.deepEqual(await revocations(served.server), []);
    await button.click();
    await dialog.getByRole('combobox', { name: 'Reason' }).selectOption('certificate-hold');
    await dialog.getByRole('button', { name: 'Revoke', exact: true }).click();
    const done = page.getByRole('dialog', { name: 'Revoked' });
    await done.getByText('1 certificate is revoked').waitFor();
    await done.getByRole('button', { name: 'Close' }).last().click();
    await row.getByText('revoked', { exact: true }).waitFor();
    assert.equal(await button.count(), 0);
    assert.deepEqual(
      (await revocations(served.server)).map(({ serial, reason }) => [serial, reason]),
      [[web!.serial, 'certificate-hold']],
    );

    await page.getByLabel('Show', { exact: true }).selectOption('true');
    await page.getByRole('table', { name: 'Revoked certificates' }).getByText('certificate-hold').waitFor();
    await checkLooks(page);
    await page.getByRole('button', { name: `Restore certificate ${web!.serial}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
    await page.getByRole('heading', { name: 'No certificate that has not ended is revoked' }).waitFor();
    assert.deepEqual(await revocations(served.server), []);
  });

  it('revokes all certificates of a SPIFFE ID', async (t) => {
    const served = await servePage(t);
    const [web] = await issue(t, served, 'web', 'db');
    const { page } = await openPage(t, served, { at: `/issuances?spiffe_id=${encodeURIComponent(idOf('web'))}` });
    await page.getByRole('button', { name: 'Revoke all certificates of this SPIFFE ID' }).click();
    await page.getByRole('checkbox', { name: /At once/ }).check();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
    await page.getByRole('dialog', { name: 'Revoked' }).waitFor();
    const all = await revocations(served.server);
    assert.ok(all.some(({ serial }) => serial === web!.serial));
  });

  it('offers a reader no revocation', async (t) => {
    const served = await servePage(t);
    const [web] = await issue(t, served, 'web');
    const { page } = await openPage(t, served, { at: `/issuances?entry_id=${web!.entry_id}`, role: 'read' });
    await page.getByText(web!.serial).waitFor();
    assert.equal(await page.getByRole('button', { name: /Revoke/ }).count(), 0);
  });
});
