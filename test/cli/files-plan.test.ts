/** The flags of `sidekey fetch --write`: what they mean, and what is refused. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkCombination, type FilesFlags } from '../../src/cli/files-flags.ts';
import { followOf, healthOf, planOf } from '../../src/cli/files-plan.ts';

const DEFAULTS = {
  write: '/certs',
  certFile: 'svid.pem',
  keyFile: 'key.pem',
  bundleFile: 'bundle.pem',
  certMode: '0644',
  keyMode: '0600',
  jwtMode: '0600',
  onUpdateTimeout: '30s',
};

function read(more: Partial<FilesFlags>) {
  const flags = { ...DEFAULTS, ...more };
  checkCombination(flags);
  return { plan: planOf(flags), follow: followOf(flags), health: healthOf(flags) };
}

describe('the flags of fetch --write', () => {
  it('have defaults', () => {
    const { plan, follow, health } = read({});
    assert.deepEqual(plan.x509?.key, { name: 'key.pem', mode: 0o600 });
    assert.deepEqual([plan.jwts, plan.jwtBundle, plan.owner, plan.allowShared], [[], undefined, undefined, false]);
    assert.deepEqual([follow, health], [{ command: undefined, signal: undefined }, undefined]);
  });

  it('name files, owners, modes and what follows', () => {
    const { plan, follow, health } = read({
      watch: true,
      certFile: 'tls.crt',
      keyMode: '640',
      jwt: ['db,cache=db.jwt', 'https://x/?a=b=x.jwt'],
      jwks: 'keys.json',
      owner: '0:12',
      onUpdate: 'nginx -s "reload it"',
      onUpdateTimeout: '2m',
      signal: 'hup',
      pidFile: '/run/x.pid',
      health: '[::1]:8081',
    });
    assert.deepEqual([plan.x509?.certificate.name, plan.x509?.key.mode], ['tls.crt', 0o640]);
    assert.deepEqual(plan.jwts, [
      { audiences: ['db', 'cache'], file: { name: 'db.jwt', mode: 0o600 } },
      { audiences: ['https://x/?a=b'], file: { name: 'x.jwt', mode: 0o600 } },
    ]);
    assert.deepEqual(plan.owner, { uid: 0, gid: 12 });
    assert.deepEqual(follow, {
      command: { argv: ['nginx', '-s', 'reload it'], limitMs: 120_000 },
      signal: { name: 'SIGHUP', pidFile: '/run/x.pid' },
    });
    assert.deepEqual([health?.host, health?.port], ['::1', 8081]);
  });

  const refused: readonly (readonly [Partial<FilesFlags>, RegExp])[] = [
    [{ write: undefined as never, watch: true }, /^--watch has no effect without --write$/],
    [{ watch: true, wait: '5s' }, /^--wait is for one write/],
    [{ signal: 'HUP', pidFile: 'x' }, /^--signal has no effect without --watch$/],
    [{ watch: true, signal: 'HUP' }, /^--signal has no effect without --pid-file$/],
    [{ watch: true, pidFile: 'x' }, /^--pid-file has no effect without --signal$/],
    [
      { watch: true, signal: 'HOP', pidFile: 'x' },
      /^--signal: "HOP" is not a signal, did you mean SIGHUP\?; give a name/,
    ],
    [{ health: '127.0.0.1:1' }, /^--health has no effect without --watch$/],
    [{ watch: true, health: '8080' }, /^--health: "8080" is not HOST:PORT; give a name/],
    [{ keyMode: '0646' }, /^--key-mode: 0646 lets everybody write; give an octal mode/],
    [{ keyMode: '4600' }, /^--key-mode: 04600 has bits besides read, write and execute/],
    [{ jwtMode: 'rw' }, /^--jwt-mode: "rw" is not octal; give an octal mode/],
    [{ certFile: '../svid.pem' }, /^--cert-file: "\.\.\/svid\.pem" is not a name; give a file name/],
    [{ certFile: '' }, /^--cert-file: it is empty/],
    [{ certFile: '.hidden' }, /^--cert-file: "\.hidden" begins with a dot/],
    [{ certFile: 'x'.repeat(300) }, /^--cert-file: it is too long/],
    [{ jwt: ['db'] }, /^--jwt: "db" has no audience; give AUDIENCE/],
    [{ jwt: ['a,,b=x'] }, /^--jwt: "a,,b=x" has no audience/],
    [{ jwt: ['db='] }, /^--jwt: it is empty; give a file name/],
    [{ jwt: ['db=svid.pem'] }, /two files have the name "svid\.pem"/],
    [{ owner: 'no-such-user' }, /^--owner: there is no user "no-such-user"; give USER/],
    [{ owner: '0:no-such-group' }, /^--owner: there is no group "no-such-group"/],
    [{ owner: '4000000000' }, /^--owner: uid 4000000000 has no group in \/etc\/passwd/],
    [{ onUpdate: 'a | b' }, /^--on-update: "\|" needs a shell, and none runs it/],
    [{ onUpdate: ' ' }, /^--on-update: it is empty; give a program/],
    [{ onUpdateTimeout: '0' }, /^--on-update-timeout: "0" is not a duration of 1 s to 1 day/],
  ];
  for (const [flags, message] of refused) {
    it(`refuses ${JSON.stringify(flags).slice(0, 80)}`, () => assert.throws(() => read(flags), { message }));
  }
});
