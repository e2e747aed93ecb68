import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { impatient, withFullHandshakes, withMistakenRoute } from '../../envoy-examples/demo/alterations.ts';
import {
  EXAMPLES,
  type Example,
  type Json,
  type Moves,
  moveBootstrap,
  readBootstrap,
  rewrite,
} from '../../envoy-examples/demo/bootstraps.ts';
import { makeServerCertificate } from '../../envoy-examples/demo/certificate.ts';
import { envoyForTests } from '../support/envoy.ts';
import { tempDir } from '../support/temp-dir.ts';

const found = await envoyForTests();

const MOVES: Moves = {
  addresses: {
    '0.0.0.0:80': [20080],
    '0.0.0.0:443': [20443],
    '127.0.0.1:9901': [29901],
    'app:8080': [28080],
    'myservice:80': [21080, 22080],
    'service-purple:443': [21443],
    'service-gray:443': [22443],
  },
  paths: {
    '/run/sidekey/agent.sock': '/tmp/demo/agent.sock',
    '/etc/envoy/certs/server.crt': '/tmp/demo/server.crt',
    '/etc/envoy/certs/server.key': '/tmp/demo/server.key',
  },
};

/** Every value of every member with this name, in order. */
function members(value: Json, name: string): Json[] {
  const all: Json[] = [];
  rewrite(value, (key, member) => {
    if (key === name) all.push(member);
    return undefined;
  });
  return all;
}

function validate(t: Parameters<typeof tempDir>[0], bootstrap: Json | string): void {
  assert.ok(found.skip === false);
  const config = path.join(tempDir(t), 'envoy.yaml');
  writeFileSync(config, typeof bootstrap === 'string' ? bootstrap : stringify(bootstrap));
  const args = ['--mode', 'validate', '--config-path', config, '--log-level', 'warning'];
  const { status, stdout, stderr } = spawnSync(found.envoy.path, args, { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  assert.doesNotMatch(stderr, /deprecated/i);
}

describe('the bootstraps', () => {
  for (const example of EXAMPLES) {
    test(`Envoy takes ${example} as it is written, but for where the server's certificate is`, {
      skip: found.skip,
    }, async (t) => {
      const file = path.join(import.meta.dirname, '../../envoy-examples', example, 'envoy.yaml');
      const certs = tempDir(t);
      const { certificate, key } = await makeServerCertificate(Date.now());
      writeFileSync(path.join(certs, 'server.crt'), certificate);
      writeFileSync(path.join(certs, 'server.key'), key);
      validate(t, readFileSync(file, 'utf8').replaceAll('/etc/envoy/certs', certs));
    });

    test(`${example} asks for its own identity and for the bundle, by SDS, and for nothing else`, () => {
      const asked = members(readBootstrap(example), 'tls_certificate_sds_secret_configs')
        .flatMap((configs) => configs as { name: string; sds_config?: Json }[])
        .filter(({ sds_config }) => sds_config !== undefined)
        .map(({ name }) => name);
      assert.deepEqual(new Set(asked), new Set([`spiffe://ilinux.io/${example}`]));
      const bundles = members(readBootstrap(example), 'validation_context_sds_secret_config');
      assert.deepEqual(new Set(bundles.map((b) => (b as { name: string }).name)), new Set(['spiffe://ilinux.io']));
    });

    test(`every SDS source of ${example} sends its node once and comes back quickly`, () => {
      for (const source of members(readBootstrap(example), 'api_config_source')) {
        assert.deepEqual(members(source, 'set_node_on_first_message_only'), [true]);
        assert.deepEqual(members(source, 'retry_back_off'), [{ base_interval: '0.1s', max_interval: '1s' }]);
      }
    });
  }

  test('the services let in front-envoy alone', () => {
    for (const service of ['service-purple', 'service-gray'] as const) {
      assert.deepEqual(members(readBootstrap(service), 'exact'), ['spiffe://ilinux.io/front-envoy']);
      assert.deepEqual(members(readBootstrap(service), 'require_client_certificate'), [true]);
    }
  });

  test('the two services differ in their names alone', () => {
    const gray = JSON.stringify(readBootstrap('service-gray'));
    assert.equal(gray.replaceAll('gray', 'purple'), JSON.stringify(readBootstrap('service-purple')));
  });
});

describe('moving a bootstrap to loopback', () => {
  test('addresses, ports and paths are those of the table', () => {
    const moved = moveBootstrap(readBootstrap('front-envoy'), MOVES);
    assert.deepEqual(members(moved, 'port_value').toSorted(), [20080, 20443, 21080, 21443, 22080, 22443, 29901]);
    assert.deepEqual(new Set(members(moved, 'address').filter((a) => typeof a === 'string')), new Set(['127.0.0.1']));
    assert.deepEqual(members(moved, 'port_redirect'), [20443]);
    assert.deepEqual(members(moved, 'filename'), ['/tmp/demo/server.crt', '/tmp/demo/server.key']);
    assert.deepEqual(members(moved, 'pipe'), [{ path: '/tmp/demo/agent.sock' }]);
  });

  test('a name that stands for several endpoints becomes several', () => {
    const moved = moveBootstrap(readBootstrap('front-envoy'), MOVES);
    const clusters = members(moved, 'clusters')[0] as { name: string }[];
    const myservice = clusters.find(({ name }) => name === 'myservice')!;
    assert.deepEqual(members(myservice as Json, 'port_value'), [21080, 22080]);
  });

  test('nothing else changes', () => {
    const blank = (value: Json) =>
      rewrite(value, (key, member) => {
        if (['address', 'pipe', 'filename', 'port_value', 'port_redirect'].includes(key)) return 'moved';
        return key === 'lb_endpoints' ? (member as Json[]).length > 0 : undefined;
      });
    for (const example of EXAMPLES) {
      const written = readBootstrap(example);
      assert.deepEqual(blank(moveBootstrap(written, MOVES)), blank(written));
    }
  });

  for (const [missing, where] of [
    ['myservice:80', 'front-envoy'],
    ['0.0.0.0:443', 'front-envoy'],
    ['app:8080', 'service-gray'],
  ] as const satisfies [string, Example][]) {
    test(`${where} is refused when the table lacks ${missing}`, () => {
      const { [missing]: _, ...addresses } = MOVES.addresses;
      const move = () => moveBootstrap(readBootstrap(where), { ...MOVES, addresses });
      assert.throws(move, new Error(`nothing is set for ${missing}`));
    });
  }

  test('a path that the table lacks is refused', () => {
    const move = () => moveBootstrap(readBootstrap('service-gray'), { ...MOVES, paths: {} });
    assert.throws(move, new Error('no path is set for /run/sidekey/agent.sock'));
  });

  test("Envoy takes what the demo makes of front-envoy's and of service-purple's", { skip: found.skip }, async (t) => {
    const certs = tempDir(t);
    const { certificate, key } = await makeServerCertificate(Date.now());
    const paths = {
      '/run/sidekey/agent.sock': path.join(certs, 'agent.sock'),
      '/etc/envoy/certs/server.crt': path.join(certs, 'server.crt'),
      '/etc/envoy/certs/server.key': path.join(certs, 'server.key'),
    };
    writeFileSync(paths['/etc/envoy/certs/server.crt'], certificate);
    writeFileSync(paths['/etc/envoy/certs/server.key'], key);
    const moved = (example: Example) => moveBootstrap(readBootstrap(example), { ...MOVES, paths });
    validate(t, withFullHandshakes(withMistakenRoute(moved('front-envoy')), 1));
    validate(t, impatient(moved('service-purple')));
  });

  test('the mistaken route leads to service-gray and expects service-purple there', () => {
    const front = withMistakenRoute(moveBootstrap(readBootstrap('front-envoy'), MOVES));
    const clusters = members(front, 'clusters')[0] as { name: string }[];
    const mistaken = clusters.find(({ name }) => name === 'service-mistaken')! as Json;
    assert.deepEqual(members(mistaken, 'port_value'), MOVES.addresses['service-gray:443']);
    assert.deepEqual(members(mistaken, 'exact'), ['spiffe://ilinux.io/service-purple']);
    const route = (members(front, 'routes').at(-1) as Json[])[0];
    assert.deepEqual(
      route,
      parse('{match: {path_separated_prefix: /service/mistaken}, route: {cluster: service-mistaken}}'),
    );
  });
});
