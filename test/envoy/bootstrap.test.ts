import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { type BootstrapFlags, readBootstrapFlags } from '../../src/cli/bootstrap-flags.ts';
import { bootstrapYaml } from '../../src/envoy/bootstrap.ts';
import { assertValid, ENVOYS } from './support.ts';

const ID = 'spiffe://ilinux.io/web';
const SERVER = { listen: '0.0.0.0:8443', to: '127.0.0.1:8080' };
const DB = 'db=10.0.0.7:8443,spiffe://ilinux.io/db';
const API = 'api=api.internal:443,spiffe://ilinux.io/ns/prod/api';

function bootstrap(flags: Partial<BootstrapFlags>): string {
  const always = { spiffeId: ID, socket: '/run/sidekey/agent.sock', admin: '127.0.0.1:9901' };
  return bootstrapYaml(readBootstrapFlags({ ...always, ...flags }));
}

const COMBINATIONS: Readonly<Record<string, Partial<BootstrapFlags>>> = {
  'a server': SERVER,
  'a client': { upstream: [DB] },
  'a client of two': { upstream: [DB, API], local: ['api=127.0.0.1:8081'] },
  'a server that is a client': { ...SERVER, upstream: [DB] },
  'a server that is a client of two': { ...SERVER, upstream: [DB, API] },
  'a server that lets two in': { ...SERVER, allow: ['spiffe://ilinux.io/a', 'spiffe://ilinux.io/b'] },
  'a server that lets two trust domains in': { ...SERVER, allow: ['spiffe://ilinux.io/a', 'spiffe://example.org'] },
  'a client of another trust domain': { upstream: ['db=10.0.0.7:8443,spiffe://example.org/db'] },
  'IPv6 everywhere': {
    listen: '[::]:8443',
    to: '[::1]:8080',
    upstream: ['db=[2001:db8::7]:8443,spiffe://ilinux.io/db'],
    local: ['db=[::1]:5432'],
    admin: '[::1]:9901',
  },
  'TCP instead of HTTP': { ...SERVER, upstream: [DB, API], tcp: true },
  'connections with a limit': { ...SERVER, upstream: [DB, API], maxConnectionDuration: '1h' },
  'TCP connections with a limit': { ...SERVER, upstream: [DB], tcp: true, maxConnectionDuration: '90s' },
  'names of hosts': { listen: '0.0.0.0:8443', to: 'localhost:8080', upstream: [API] },
  'names that YAML would take for something else': {
    spiffeId: 'spiffe://ilinux.io/1.20',
    ...SERVER,
    upstream: ['yes=10.0.0.7:1,spiffe://ilinux.io/a', '0123=10.0.0.7:2,spiffe://ilinux.io/b'],
  },
  'a pipe with letters that YAML cares about': { ...SERVER, socket: '/run/a, b: #{c}/"agent".sock' },
};

describe('every bootstrap', () => {
  for (const [what, found] of ENVOYS) {
    for (const [name, flags] of Object.entries(COMBINATIONS)) {
      test(`${name} is taken by ${what} without a warning`, { skip: found.skip }, (t) => {
        assert.ok(found.skip === false);
        return assertValid(t, found.envoy.path, bootstrap(flags));
      });
    }
  }

  for (const [name, flags] of Object.entries(COMBINATIONS)) {
    test(`${name} has lines of at most 120 letters, but where a name is longer`, () => {
      const long = bootstrap(flags)
        .split('\n')
        .filter((line) => line.length > 120 && !line.includes('@type'));
      assert.deepEqual(long, []);
    });
  }
});

describe('a bootstrap', () => {
  test('keeps texts as they are, whatever YAML would take them for', () => {
    const { node, static_resources } = parse(
      bootstrap(COMBINATIONS['names that YAML would take for something else']!),
      {
        version: '1.1',
      },
    );
    assert.deepEqual(node, { id: '1.20', cluster: '1.20' });
    const names = static_resources.clusters.map(({ name }: { name: unknown }) => name);
    assert.deepEqual(names, ['sidekey', 'app', 'yes', '0123']);
  });

  test("asks for its own identity, and for each peer for the authorities of that one's trust domain alone", () => {
    const upstream = [DB, 'far=10.0.0.8:8443,spiffe://example.org/far'];
    const asked = names(bootstrap({ ...SERVER, allow: ['spiffe://a.org/x', 'spiffe://b.org/y'], upstream }));
    assert.deepEqual(asked, [ID, 'ALL', ID, 'spiffe://ilinux.io', ID, 'spiffe://example.org']);
  });

  test('a server lets in whom it is told, else whoever is of its own trust domain', () => {
    const matchers = (flags: Partial<BootstrapFlags>) =>
      parse(bootstrap({ ...SERVER, ...flags })).static_resources.listeners[0].filter_chains[0].transport_socket
        .typed_config.common_tls_context.combined_validation_context.default_validation_context
        .match_typed_subject_alt_names;
    assert.deepEqual(matchers({}), [{ san_type: 'URI', matcher: { prefix: 'spiffe://ilinux.io/' } }]);
    assert.deepEqual(matchers({ allow: ['spiffe://ilinux.io/a', 'spiffe://ilinux.io/b'] }), [
      { san_type: 'URI', matcher: { exact: 'spiffe://ilinux.io/a' } },
      { san_type: 'URI', matcher: { exact: 'spiffe://ilinux.io/b' } },
    ]);
  });

  test('limits mTLS connections on both sides if it is told to, and no other ones', () => {
    const limits = (flags: Partial<BootstrapFlags>) => {
      const { listeners, clusters } = parse(bootstrap({ ...SERVER, upstream: [DB], ...flags })).static_resources;
      const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
      return [
        ...listeners.map((one: ParsedListener) => {
          const { common_http_protocol_options: http, max_downstream_connection_duration: tcp } =
            one.filter_chains[0]!.filters[0]!.typed_config;
          return http?.max_connection_duration ?? tcp;
        }),
        ...clusters.map(
          (one: ParsedCluster) =>
            one.typed_extension_protocol_options?.[options]?.common_http_protocol_options?.max_connection_duration,
        ),
      ];
    };
    const none = undefined;
    assert.deepEqual(limits({}), [none, none, none, none, none]);
    assert.deepEqual(limits({ maxConnectionDuration: '1h' }), ['3600s', none, none, none, '3600s']);
    assert.deepEqual(limits({ maxConnectionDuration: '30', tcp: true }), ['30s', '30s', none, none, none]);
  });

  test('upstreams listen one after the other, but those that are placed', () => {
    const upstream = [DB, API, 'c=10.0.0.9:1,spiffe://ilinux.io/c'];
    const { listeners } = parse(bootstrap({ upstream, local: ['api=127.0.0.1:8081'] })).static_resources;
    assert.deepEqual(
      listeners.map(
        ({
          name,
          address: {
            socket_address: { port_value },
          },
        }: Listener) => [name, port_value],
      ),
      [
        ['db', 10001],
        ['api', 8081],
        ['c', 10003],
      ],
    );
  });
});

interface Limited {
  readonly common_http_protocol_options?: { readonly max_connection_duration: string };
}

interface ParsedListener {
  readonly filter_chains: readonly {
    readonly filters: readonly {
      readonly typed_config: Limited & { readonly max_downstream_connection_duration?: string };
    }[];
  }[];
}

interface ParsedCluster {
  readonly typed_extension_protocol_options?: Readonly<Record<string, Limited>>;
}

interface Listener {
  readonly name: string;
  readonly address: { readonly socket_address: { readonly port_value: number } };
}

/** The secrets that are asked for, in order. */
function names(text: string): string[] {
  return [...text.matchAll(/name: (\S+)\n\s+sds_config/g)].map((match) => match[1]!);
}
