/** Revocation of SVIDs as real Envoys see it, and as clients of the pipe do. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { call } from '../../envoy-examples/demo/http.ts';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { SPIFFECertValidatorConfig } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts';
import { CLIENT, createEntry, DOMAIN, OTHER, startMesh, WEB } from '../support/mesh.ts';
import { type Credentials, fetchCredentials, mtlsRequest } from '../support/mtls-client.ts';
import { until } from '../support/process-state.ts';
import { chainOf, namesOf, SdsClient, secretOf } from '../support/sds-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const envoy = await findEnvoy({ tell: () => undefined }).catch((error: Error) => error);
const skip = envoy instanceof Error ? envoy.message : false;

async function revoke(server: Served, what: object) {
  const { status, body } = await server.request('POST', '/v1/revocations', {
    reason: 'key-compromise',
    wait: 10,
    ...what,
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

const mesh = (t: TestContext, flags: readonly string[] = []) => startMesh(t, (envoy as { path: string }).path, flags);

const serialOf = (response: Parameters<typeof secretOf>[0]) => chainOf(secretOf(response, CLIENT))[0]!.serialNumber;

const accepts = async (port: number, credentials: Credentials) => {
  return mtlsRequest(port, credentials).then(
    ({ status }) => status === 200,
    () => false,
  );
};

describe('a real Envoy', { skip, timeout: 120_000 }, () => {
  for (const [form, flags] of [
    ["Envoy's SPIFFE validator", []],
    ['plain trusted_ca', ['--disable-spiffe-cert-validation']],
  ] as const) {
    it(`refuses a revoked SVID and accepts the others, with ${form}, also after a restart of Sidekey`, async (t) => {
      const { server, port, local } = await mesh(t, flags);
      const [stolen, other] = [
        await fetchCredentials(server.socket, CLIENT),
        await fetchCredentials(server.socket, OTHER),
      ];
      assert.deepEqual([await accepts(port, stolen), await accepts(port, other)], [true, true]);
      const { revoked, proxies } = await revoke(server, { spiffe_id: CLIENT });
      assert.deepEqual(
        revoked.map(({ spiffe_id }: { spiffe_id: string }) => spiffe_id),
        [CLIENT],
      );
      assert.ok(proxies.length > 0 && proxies.every(({ state }: { state: string }) => state === 'refusing'));
      assert.deepEqual([await accepts(port, stolen), await accepts(port, other)], [false, true]);
      assert.equal(await accepts(port, await fetchCredentials(server.socket, CLIENT)), true);
      assert.equal((await call(`http://127.0.0.1:${local}/`)).status, 200);

      await server.stop('SIGKILL');
      const again = await serve(t, { place: server, flags });
      await until(async () => (await again.request('GET', '/v1/revocations')).body.proxies.length > 0);
      await until(async () => {
        const { body } = await again.request('GET', '/v1/revocations');
        return body.proxies.every(({ state }: { state: string }) => state === 'refusing');
      });
      assert.deepEqual([await accepts(port, stolen), await accepts(port, other)], [false, true]);
      assert.equal((await call(`http://127.0.0.1:${local}/`)).status, 200);
    });
  }

  it('refuses as a client a server whose SVID is revoked, and goes on with the new one', async (t) => {
    const { server, local } = await mesh(t);
    const url = `http://127.0.0.1:${local}/`;
    assert.equal((await call(url)).status, 200);
    // The Envoy has the new SVID of the server before the list, so no request fails.
    const outcome = await revoke(server, { spiffe_id: WEB });
    assert.deepEqual(outcome.replaced, { asked: 1, acknowledged: 1 });
    assert.equal((await call(url)).status, 200);
  });

  it('accepts a certificate that was on hold again', async (t) => {
    const { server, port } = await mesh(t);
    const held = await fetchCredentials(server.socket, CLIENT);
    const { revoked } = await revoke(server, { spiffe_id: CLIENT, reason: 'certificate-hold' });
    assert.equal(await accepts(port, held), false);
    const { serial } = revoked[0];
    assert.equal((await server.request('DELETE', `/v1/revocations/${serial}`)).status, 200);
    assert.equal(await accepts(port, held), true);
  });

  it('refuses the SVIDs of an entry that is deleted with --revoke at once', async (t) => {
    const { server, port } = await mesh(t);
    const { body } = await server.request('GET', `/v1/entries?spiffe_id=${encodeURIComponent(CLIENT)}`);
    const credentials = await fetchCredentials(server.socket, CLIENT);
    const deleted = await server.request('DELETE', `/v1/entries/${body.entries[0].id}?revoke=cessation-of-operation`);
    assert.ok(deleted.status < 300, JSON.stringify(deleted.body));
    await until(async () => !(await accepts(port, credentials)));
  });

  it('fails no request of good SVIDs while others are revoked and authorities rotate', async (t) => {
    const { server, local } = await mesh(t, ['--root-publish-time', '1s']);
    const url = `http://127.0.0.1:${local}/`;
    let stopped = false;
    const statuses = new Map<number, number>();
    const traffic = (async () => {
      while (!stopped) {
        const { status } = await call(url);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    })();
    for (let i = 0; i < 8; i += 1) {
      await fetchCredentials(server.socket, CLIENT);
      await revoke(server, { spiffe_id: CLIENT });
      if (i % 2 === 0) await server.request('POST', '/v1/ca/rotate', { role: 'intermediate' });
      if (i === 3) await server.request('POST', '/v1/ca/rotate', { role: 'root' });
    }
    await until(async () => {
      const { authorities } = (await server.request('GET', '/v1/ca')).body;
      return (
        authorities.filter(({ role, state }: { role: string; state: string }) => role === 'root' && state === 'retired')
          .length > 0
      );
    });
    stopped = true;
    await traffic;
    assert.deepEqual([...statuses.keys()], [200]);
  });
});

describe('a client of the pipe', { timeout: 60_000 }, () => {
  it('gets its new SVID before the list that has the old one, and the list with its lists in one message', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(CLIENT, DOMAIN);
    const first = await stream.next();
    stream.ack(first);
    const revoking = revoke(server, { spiffe_id: CLIENT });
    const renewed = await stream.next();
    assert.deepEqual(namesOf(renewed), [CLIENT]);
    assert.notEqual(serialOf(renewed), serialOf(first));
    stream.ack(renewed, [CLIENT, DOMAIN]);
    const listed = await stream.next();
    assert.deepEqual(namesOf(listed), [DOMAIN]);
    const config = secretOf(listed, DOMAIN).validationContext!.customValidatorConfig!.typedConfig!.value;
    const domains = SPIFFECertValidatorConfig.decode(config).trustDomains;
    assert.deepEqual(
      domains.map(({ name }) => name),
      [TRUST_DOMAIN, 'crl-epoch.invalid'],
    );
    assert.equal(String(domains[0]!.trustBundle!.inlineBytes).match(/BEGIN X509 CRL/g)!.length, 3);
    stream.ack(listed, [CLIENT, DOMAIN]);
    const { replaced, proxies } = await revoking;
    assert.deepEqual(replaced, { asked: 1, acknowledged: 1 });
    assert.deepEqual(
      proxies.map(({ state }: { state: string }) => state),
      ['refusing'],
    );
  });

  it('that does not acknowledge its new SVID delays the list for a second at most, and is named', async (t) => {
    const server = await serve(t);
    await createEntry(server, CLIENT);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(CLIENT, DOMAIN);
    await stream.next();
    const { replaced, proxies } = await revoke(server, { spiffe_id: CLIENT, wait: 0.1 });
    assert.deepEqual(replaced, { asked: 1, acknowledged: 0 });
    assert.deepEqual(
      proxies.map(({ state, pid }: { state: string; pid: number }) => [state, pid]),
      [['waiting', process.pid]],
    );
  });
});
