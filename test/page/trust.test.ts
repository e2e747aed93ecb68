/** Roots, JWT keys and bundles of other trust domains in the page, and their downloads. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { makeCertificate } from '../support/certificates.ts';
import { BROWSER, checkLooks, openPage, screenshot, servePage } from './support.ts';

async function download(page: Page, button: string): Promise<{ name: string; text: string }> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button, exact: true }).click(),
  ]);
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
}

describe('trust, in the page', { skip: BROWSER.skip, timeout: 300_000 }, () => {
  it('shows the own roots and JWT keys, and gives them as PEM, SPIFFE JSON and JWKS', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const { page } = await openPage(t, served, { at: '/trust', role: 'read' });
    const { authorities } = (await request('GET', '/v1/ca')).body;
    const root = authorities.find((one: { role: string }) => one.role === 'root');
    const roots = page.getByRole('table', { name: 'Roots in the bundle' });
    await roots.getByText(root.id).waitFor();
    await roots.getByText('active', { exact: true }).waitFor();
    assert.equal(await page.getByRole('table', { name: 'JWT keys in the bundle' }).locator('tbody').count(), 2);
    await page.getByRole('heading', { name: 'No bundle of another trust domain is set' }).waitFor();
    await page.getByText('No certificate that has not ended is revoked').waitFor();
    await checkLooks(page);

    const pem = await download(page, 'Roots in PEM');
    assert.equal(pem.name, 'ilinux.io.pem');
    assert.match(new X509Certificate(pem.text).subject, /O=SPIFFE/);
    const json = await download(page, 'Bundle in SPIFFE JSON');
    assert.equal(json.name, 'ilinux.io.json');
    assert.deepEqual(JSON.parse(json.text), (await request('GET', '/v1/bundle')).body);
    const jwks = await download(page, 'JWT keys as JWKS');
    assert.deepEqual(JSON.parse(jwks.text), (await request('GET', '/v1/jwks')).body);
  });

  it('shows bundles of other trust domains with age and source, and gives them too', async (t) => {
    const served = await servePage(t);
    const { request } = served.server;
    const { key } = await makeCertificate({ name: 'partner', uris: ['spiffe://partner.example'] });
    const bundle = { spiffe_sequence: 7, spiffe_refresh_hint: 600, keys: [key] };
    assert.equal((await request('PUT', '/v1/bundles/partner.example', bundle)).status, 201);
    const { page } = await openPage(t, served, { at: '/trust' });
    const row = page.getByRole('table', { name: 'Bundles of other trust domains' }).locator('tbody');
    await row.getByText('partner.example', { exact: true }).waitFor();
    await row.getByText('set by hand').waitFor();
    await row.getByText(/^(now|\d+ s ago)$/).waitFor();
    await checkLooks(page);
    await screenshot(page, 'trust');
    const json = await download(page, 'SPIFFE JSON of partner.example');
    assert.equal(json.name, 'partner.example.json');
    assert.deepEqual(JSON.parse(json.text), bundle);
    const pem = await download(page, 'PEM of partner.example');
    assert.match(pem.text, /^-----BEGIN CERTIFICATE-----/);
  });

  it('follows a rotation', async (t) => {
    const served = await servePage(t);
    const { page } = await openPage(t, served, { at: '/trust' });
    const roots = page.getByRole('table', { name: 'Roots in the bundle' });
    await roots.getByText('active', { exact: true }).waitFor();
    await served.server.request('POST', '/v1/ca/rotate', { role: 'root' });
    await roots.locator('tbody').nth(1).waitFor();
  });
});
