/** Roots, JWT keys and bundles of other trust domains in the page, and their downloads. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
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

  it('shows federation relationships, and follows them', async (t) => {
    const served = await servePage(t, ['--federation-allow', '127.0.0.0/8']);
    const { request } = served.server;
    const root = await makeAuthority();
    const endpoint = await bundleEndpoint(t, await root.leaf({ hosts: ['127.0.0.1'] }));
    endpoint.answer({ keys: [root.key], spiffe_sequence: 41, spiffe_refresh_hint: 300 });
    const { page } = await openPage(t, served, { at: '/trust', role: 'read' });
    await page.getByRole('heading', { name: 'The server fetches no bundle' }).waitFor();
    const relationship = {
      trust_domain: 'partner.example',
      bundle_endpoint_url: endpoint.url,
      bundle_endpoint_profile: 'https_web',
      endpoint_ca: root.pem,
    };
    assert.equal((await request('POST', '/v1/federation', relationship)).status, 201);
    const table = page.getByRole('table', { name: 'Federation relationships' });
    await table.getByText('partner.example', { exact: true }).waitFor();
    await table.getByText('fresh', { exact: true }).waitFor();
    await table.getByText(endpoint.url, { exact: true }).waitFor();
    await table.getByText('41', { exact: true }).waitFor();
    await table.getByText(/^in \d+ (s|min)$/).waitFor();
    const bundles = page.getByRole('table', { name: 'Bundles of other trust domains' });
    await bundles.getByText('fetched', { exact: true }).waitFor();
    endpoint.answer('<b>gone</b>');
    assert.equal((await request('POST', '/v1/federation/partner.example/refresh')).body.reason, 'document');
    await table.getByText('failing', { exact: true }).waitFor();
    await table.getByText('1 failure since the last success').waitFor();
    await table.getByText('the document is not JSON in UTF-8').waitFor();
    await checkLooks(page);
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.locator('.events').getByText('partner.example').first().waitFor();
    await request('DELETE', '/v1/federation/partner.example');
    await page.getByRole('navigation').getByRole('link', { name: 'Trust' }).click();
    await page.getByRole('heading', { name: 'The server fetches no bundle' }).waitFor();
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
