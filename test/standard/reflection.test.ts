import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { create, createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import type { ServerReflectionResponse } from '../../src/gen/grpc/reflection/v1/reflection.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { WireClient } from '../support/wire-client.ts';
import { connect, type Reflection, reflect } from './support.ts';

const SDS = 'envoy.service.secret.v3.SecretDiscoveryService';
const ADS = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
const SERVICES = [
  'SpiffeWorkloadAPI',
  ADS,
  SDS,
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

async function start(t: TestContext, version: 'v1' | 'v1alpha' = 'v1'): Promise<Reflection> {
  return reflect(connect(t, (await startInnerServer(t)).socket), version);
}

/** The files of a response. */
function filesOf({ fileDescriptorResponse, errorResponse }: ServerReflectionResponse) {
  assert.equal(errorResponse, undefined);
  return fileDescriptorResponse!.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

const namesOf = (response: ServerReflectionResponse) => filesOf(response).map(({ name }) => name);

/** Links the first file with those that it depends on. */
function link(files: ReturnType<typeof filesOf>): FileRegistry {
  const ordered = new Set<(typeof files)[number]>();
  const add = (file: (typeof files)[number]): void => {
    for (const wanted of file.dependency) {
      const dependency = files.find(({ name }) => name === wanted);
      assert.ok(dependency, `${wanted}, which ${file.name} imports`);
      add(dependency);
    }
    ordered.add(file);
  };
  add(files[0]!);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }));
}

describe('server reflection', () => {
  for (const version of ['v1', 'v1alpha'] as const) {
    it(`lists the services (${version})`, async (t) => {
      const { ask, call, ended } = await start(t, version);
      const response = await ask({ host: 'h', listServices: '*' });
      assert.deepEqual(
        response.listServicesResponse?.service.map(({ name }) => name),
        SERVICES,
      );
      assert.equal(response.validHost, 'h');
      assert.equal(response.originalRequest?.listServices, '*');
      call.end();
      assert.equal((await ended).code, status.OK);
    });
  }

  it('describes each service completely, with the methods that are served', async (t) => {
    const { socket } = await startInnerServer(t);
    for (const service of SERVICES) {
      const { ask, call } = reflect(connect(t, socket));
      const described = link(filesOf(await ask({ fileContainingSymbol: service }))).getService(service);
      assert.ok(described, service);
      for (const { name } of described.methods) {
        const client = new WireClient(socket);
        t.after(() => client.close());
        // No request is valid here, so a method that is served refuses it, or waits for more.
        const stream = client.stream(`/${service}/${name}`);
        stream.call.write(Buffer.from([0xff]));
        stream.call.end();
        const { code, details } = await stream.status;
        assert.doesNotMatch(details, /unknown method/, `${service}/${name}: ${code} ${details}`);
      }
      call.end();
    }
  });

  it('finds the file of every kind of symbol', async (t) => {
    const { ask } = await start(t);
    const discovery = 'envoy/service/discovery/v3/discovery.proto';
    const tls = 'envoy/extensions/transport_sockets/tls/v3';
    const symbols: [symbol: string, file: string][] = [
      ['envoy.service.discovery.v3.DiscoveryRequest', discovery],
      ['envoy.service.discovery.v3.DiscoveryRequest.node', discovery],
      [SDS, 'envoy/service/secret/v3/sds.proto'],
      [`${SDS}.StreamSecrets`, 'envoy/service/secret/v3/sds.proto'],
      ['grpc.health.v1.HealthCheckResponse.ServingStatus', 'grpc/health/v1/health.proto'],
      ['grpc.health.v1.HealthCheckResponse.SERVING', 'grpc/health/v1/health.proto'],
      ['grpc.reflection.v1.ServerReflectionRequest.message_request', 'grpc/reflection/v1/reflection.proto'],
      ['envoy.extensions.transport_sockets.tls.v3.Secret', `${tls}/secret.proto`],
      ['validate.rules', 'validate/validate.proto'],
      ['google.protobuf.Any', 'google/protobuf/any.proto'],
      ['google.rpc.ErrorInfo', 'google/rpc/error_details.proto'],
    ];
    for (const [symbol, file] of symbols) {
      assert.equal(namesOf(await ask({ fileContainingSymbol: symbol }))[0], file, symbol);
    }
    for (const symbol of ['', '.', 'grpc', 'grpc.health.v1', 'grpc.health.v1.Nothing', '.grpc.health.v1.Health']) {
      const { errorResponse } = await ask({ fileContainingSymbol: symbol });
      assert.deepEqual(errorResponse, { errorCode: 5, errorMessage: `there is no symbol ${JSON.stringify(symbol)}` });
    }
  });

  it('sends the files that a file depends on with it, each once on a stream', async (t) => {
    const { socket } = await startInnerServer(t);
    const { ask } = reflect(connect(t, socket));
    const first = await ask({ fileByFilename: 'envoy/service/secret/v3/sds.proto' });
    const names = namesOf(first);
    assert.equal(names[0], 'envoy/service/secret/v3/sds.proto');
    assert.equal(new Set(names).size, names.length);
    const needed = filesOf(first).flatMap(({ dependency }) => dependency);
    assert.ok(needed.every((name) => names.includes(name)));
    assert.deepEqual(namesOf(await ask({ fileByFilename: 'envoy/service/secret/v3/sds.proto' })), [names[0]]);
    assert.deepEqual(namesOf(await ask({ fileByFilename: 'google/protobuf/any.proto' })), [
      'google/protobuf/any.proto',
    ]);
    assert.deepEqual(namesOf(await reflect(connect(t, socket)).ask({ fileByFilename: names[0]! })), names);
    const { errorResponse } = await ask({ fileByFilename: '../../etc/passwd' });
    assert.deepEqual(errorResponse, { errorCode: 5, errorMessage: 'there is no file "../../etc/passwd"' });
  });

  it('finds extensions', async (t) => {
    const { ask } = await start(t);
    const containingType = 'google.protobuf.FieldOptions';
    const numbers = await ask({ allExtensionNumbersOfType: containingType });
    const { baseTypeName, extensionNumber } = numbers.allExtensionNumbersResponse!;
    assert.equal(baseTypeName, containingType);
    assert.ok(extensionNumber.includes(1071), `validate.rules is among ${extensionNumber}`);
    const found = await ask({ fileContainingExtension: { containingType, extensionNumber: 1071 } });
    assert.equal(namesOf(found)[0], 'validate/validate.proto');
    const none = await ask({ fileContainingExtension: { containingType, extensionNumber: 1 } });
    assert.equal(none.errorResponse?.errorCode, 5);
    const empty = await ask({ allExtensionNumbersOfType: 'grpc.health.v1.HealthCheckRequest' });
    assert.deepEqual(empty.allExtensionNumbersResponse?.extensionNumber, []);
    for (const type of ['nothing', 'grpc.health.v1.Health', '__proto__']) {
      assert.equal((await ask({ allExtensionNumbersOfType: type })).errorResponse?.errorCode, 5, type);
    }
  });

  it('repeats at most 200 characters of a name that it does not know', async (t) => {
    const { ask } = await start(t);
    const { errorResponse } = await ask({ fileContainingSymbol: 'x'.repeat(100_000) });
    assert.equal(errorResponse?.errorMessage, `there is no symbol "${'x'.repeat(200)}…"`);
  });

  it('ends with INVALID_ARGUMENT at a request without a question, or bytes that are no request', async (t) => {
    const { socket } = await startInnerServer(t);
    const { call, ended } = reflect(connect(t, socket));
    call.write({ host: 'h' } as never);
    assert.equal((await ended).code, status.INVALID_ARGUMENT);
    const client = new WireClient(socket);
    t.after(() => client.close());
    const stream = client.stream('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo');
    stream.send(Buffer.from([0x3a, 5, 1]));
    assert.deepEqual((await stream.status).code, status.INVALID_ARGUMENT);
  });
});
