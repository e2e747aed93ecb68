import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import { type BootstrapFlags, readBootstrapFlags } from '../../src/cli/bootstrap-flags.ts';

const ALWAYS = { spiffeId: 'spiffe://ilinux.io/web', socket: '/run/sidekey/agent.sock', admin: '127.0.0.1:9901' };
const SERVER = { listen: '0.0.0.0:8443', to: '127.0.0.1:8080' };
const CLIENT = { upstream: ['db=10.0.0.7:8443,spiffe://ilinux.io/db'] };

const FAULTS: readonly (readonly [string, Partial<BootstrapFlags>, RegExp])[] = [
  ['a bad SPIFFE ID', { ...SERVER, spiffeId: 'web' }, /^--spiffe-id: the scheme is missing/],
  ['nothing to do', {}, /^neither a server nor a client is given; give --listen and --to .* --upstream/],
  ['--listen alone', { listen: '0.0.0.0:1' }, /^--listen: there is no --to/],
  ['--to alone', { to: '127.0.0.1:1' }, /^--to: there is no --listen/],
  ['--allow for a client', { ...CLIENT, allow: ['spiffe://a/b'] }, /^--allow: there is no --listen/],
  ['a listener by name', { listen: 'localhost:1', to: 'a:1' }, /^--listen: "localhost" is a name/],
  ['a bad --allow', { ...SERVER, allow: ['spiffe://a/b/'] }, /^--allow: it ends with a slash/],
  ['a bad trust domain to allow', { ...SERVER, allow: ['spiffe://A'] }, /^--allow: the trust domain has/],
  ['port 0', { listen: '0.0.0.0:1', to: 'a:0' }, /^--to: "a:0" has port 0/],
  ['a server before itself', { listen: '0.0.0.0:80', to: 'localhost:80' }, /^--to: .* Envoy would forward to itself/],
  ['an upstream without an ID', { upstream: ['db=10.0.0.7:1'] }, /^--upstream: .* it is NAME=HOST:PORT,SPIFFE_ID/],
  ['an upstream with a bad ID', { upstream: ['db=h:1,spiffe://a'] }, /^--upstream: it has no path/],
  ['an upstream called as a part of ours', { upstream: ['app=h:1,spiffe://a/b'] }, /^--upstream: "app" is reserved/],
  ['an upstream with a bad name', { upstream: ['a b=h:1,spiffe://a/b'] }, /^--upstream: "a b" is not a name/],
  ['an upstream twice', { upstream: ['a=h:1,spiffe://a/b', 'a=h:2,spiffe://a/b'] }, /^--upstream: "a" is given twice/],
  ['--local of nobody', { ...CLIENT, local: ['bd=127.0.0.1:1'] }, /^--local: there is no upstream "bd"/],
  ['--local without a name', { ...CLIENT, local: ['127.0.0.1:1'] }, /^--local: .* it is NAME=HOST:PORT/],
  ['a port twice', { ...CLIENT, local: ['db=[::]:9901'] }, /^--upstream db: port 9901 is that of --admin/],
  ['a limit that is none', { ...CLIENT, maxConnectionDuration: 'soon' }, /^--max-connection-duration: it is "soon"/],
  ['a limit of 0', { ...CLIENT, maxConnectionDuration: '0' }, /^--max-connection-duration: .* from 1s to/],
  ['a relative socket', { ...CLIENT, socket: 'agent.sock' }, /^--socket: "agent.sock" is relative/],
  ['a socket that is too long', { ...CLIENT, socket: `/${'a'.repeat(107)}` }, /^--socket: it has 108 bytes/],
];

describe('the flags of a bootstrap', () => {
  for (const [fault, flags, said] of FAULTS) {
    test(`${fault} is one fault, told with its flag`, () => {
      assert.throws(
        () => readBootstrapFlags({ ...ALWAYS, ...flags }),
        ({ code, message, problems }: SidekeyError) => {
          assert.deepEqual([code, problems.length], ['ERR_CONFIG', 1], message);
          assert.match(message, said);
          return true;
        },
      );
    });
  }

  test('the same port is no fault on different addresses, nor is a program behind on another host', () => {
    readBootstrapFlags({ ...ALWAYS, ...CLIENT, local: ['db=127.0.0.2:9901'] });
    readBootstrapFlags({ ...ALWAYS, listen: '0.0.0.0:80', to: '10.0.0.7:80' });
  });
});
