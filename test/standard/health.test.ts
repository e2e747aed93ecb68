import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import {
  HealthListRequest,
  HealthListResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../src/gen/grpc/health/v1/health.ts';
import { until } from '../identity/support.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { WireClient } from '../support/wire-client.ts';
import { check, connect, unary, watch } from './support.ts';

const SDS = 'envoy.service.secret.v3.SecretDiscoveryService';
const ADS = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = ServingStatus;

describe('health', () => {
  it('is SERVING for the server and each discovery service; another service is NOT_FOUND', async (t) => {
    const { socket } = await startInnerServer(t);
    const client = connect(t, socket);
    for (const service of ['', SDS, ADS, 'SpiffeWorkloadAPI'])
      assert.equal(await check(client, service), SERVING, service);
    for (const service of ['other', 'grpc.health.v1.Health', SDS.toLowerCase(), `/${SDS}`]) {
      await assert.rejects(check(client, service), {
        code: status.NOT_FOUND,
        details: `there is no service "${service}"`,
      });
    }
    await assert.rejects(check(client, 'ä'.repeat(300_000)), (error: Error & { code?: number; details?: string }) => {
      assert.equal(error.code, status.NOT_FOUND);
      return error.details!.length < 300;
    });
  });

  it('lists the services', async (t) => {
    const { socket } = await startInnerServer(t);
    const types = [HealthListRequest, HealthListResponse] as const;
    const { statuses } = await unary(connect(t, socket), '/grpc.health.v1.Health/List', types, {});
    assert.deepEqual(
      Object.entries(statuses)
        .map(([name, one]) => [name, one.status])
        .sort(),
      [
        ['', SERVING],
        ['SpiffeWorkloadAPI', SERVING],
        [ADS, SERVING],
        [SDS, SERVING],
      ],
    );
  });

  it('tells watchers of the end: NOT_SERVING, then UNAVAILABLE', async (t) => {
    const { socket, server } = await startInnerServer(t);
    const client = connect(t, socket);
    const watches = ['', SDS].map((service) => watch(client, service));
    await until(() => watches.every(({ seen }) => seen.length === 1));
    await server.close();
    for (const { seen, ended } of watches) {
      assert.equal((await ended).code, status.UNAVAILABLE);
      assert.deepEqual(seen, [SERVING, NOT_SERVING]);
    }
  });

  it('keeps the watch of an unknown service open', async (t) => {
    const { socket } = await startInnerServer(t);
    const client = connect(t, socket);
    const { seen, call, ended } = watch(client, 'other');
    await until(() => seen.length === 1);
    assert.deepEqual(seen, [SERVICE_UNKNOWN]);
    assert.equal(await check(client, ''), SERVING);
    call.cancel();
    assert.equal((await ended).code, status.CANCELLED);
  });

  it('refuses bytes that are no request', async (t) => {
    const { socket } = await startInnerServer(t);
    const client = new WireClient(socket);
    t.after(() => client.close());
    await assert.rejects(client.unary('/grpc.health.v1.Health/Check', Buffer.from([0x0a, 5, 1])), {
      code: status.INVALID_ARGUMENT,
      details: 'the request is not a valid HealthCheckRequest',
    });
  });

  it('counts for the limits of the caller like every call', async (t) => {
    const { socket } = await startInnerServer(t, { maxStreamsPerUid: '1' });
    const client = connect(t, socket);
    const { seen } = watch(client, '');
    await until(() => seen.length === 1);
    await assert.rejects(check(client, ''), { code: status.RESOURCE_EXHAUSTED, details: /maxStreamsPerUid/ });
  });
});
