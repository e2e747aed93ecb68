import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { SystemClock } from '../../../src/base/clock.ts';
import { CommandUpstream } from '../../../src/ca/upstream/command.ts';
import { proved } from '../../../src/ca/upstream/proved.ts';
import { tryLeaf } from '../../../src/ca/upstream/trial.ts';
import type { UpstreamAuthority } from '../../../src/ca/upstream/upstream.ts';
import { NOBODY } from '../../support/child.ts';
import { ROOT } from '../../support/serve.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, HOUR, TRUST_DOMAIN, until } from '../support.ts';
import { type Ca, type CaOptions, makeCa, newKey, opensslFault } from './pki.ts';

interface World {
  readonly folder: string;
  readonly ca: Ca;
  readonly root: Ca;
  /** An upstream whose program is a shell script. */
  upstream(script: string, options?: { timeout?: number; args?: string[]; bundleFile?: string }): UpstreamAuthority;
}

/** A folder with an issuer and its root, for the example, and for programs that are scripts. */
async function world(t: TestContext, issuer: CaOptions = {}): Promise<World> {
  const folder = tempDir(t);
  const now = Date.now();
  const times = { notBefore: now - HOUR, notAfter: now + 30 * DAY };
  const root = await makeCa(times);
  const ca = await makeCa({ ...times, name: 'issuer', ...issuer }, root);
  const put = (name: string, content: string) => writeFileSync(path.join(folder, name), content, { mode: 0o600 });
  put('ca.crt', ca.certificate.toString());
  put('root.crt', root.certificate.toString());
  put('ca.key', ca.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string);
  return {
    ...{ folder, ca, root },
    upstream(script, { timeout = 30_000, args = [], bundleFile } = {}) {
      const file = path.join(folder, 'program');
      writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
      return open([file, ...args], timeout, bundleFile);
    },
  };
}

function open(argv: readonly string[], timeout = 30_000, bundleFile?: string): UpstreamAuthority {
  const source = new CommandUpstream({ argv, trustDomain: TRUST_DOMAIN, bundleFile });
  return proved(source, {
    trustDomain: TRUST_DOMAIN,
    subject: [{ type: 'O', value: 'SPIFFE' }],
    clock: new SystemClock(),
    timeout,
  });
}

const mint = (upstream: UpstreamAuthority, life = DAY) => upstream.mint({ privateKey: newKey(), life });

async function reasonOf(upstream: UpstreamAuthority): Promise<string> {
  const error = await mint(upstream).then(
    () => assert.fail('it was taken'),
    (thrown: Error & { code: string }) => thrown,
  );
  assert.equal(error.code, 'ERR_UPSTREAM');
  assert.match(error.message, /^the upstream authority \(command \/.*?\): /);
  return error.message.slice(error.message.indexOf('): ') + 3);
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

const EXAMPLE = path.join(ROOT, 'examples/upstream-openssl');

/** A copy of it, since this checkout may belong to somebody else. */
function example(folder: string): string {
  const file = path.join(folder, 'upstream-openssl');
  copyFileSync(EXAMPLE, file);
  chmodSync(file, 0o755);
  return file;
}

for (const key of ['P-256', 'RSA'] as const) {
  test(`the example signs with openssl and a key of type ${key}`, async (t) => {
    const { folder, ca, root } = await world(t, { key });
    const upstream = open([example(folder), folder]);
    const privateKey = newKey();
    const { chain, roots, notBefore, notAfter, warnings } = await upstream.mint({ privateKey, life: DAY });
    assert.deepEqual(warnings, []);
    assert.equal(chain[1]!.fingerprint256, ca.certificate.fingerprint256);
    assert.deepEqual(
      roots.map(({ fingerprint256 }) => fingerprint256),
      [root.certificate.fingerprint256],
    );
    assert.ok(Math.abs(notAfter - Date.now() - DAY) < 30_000);
    assert.match(chain[0]!.subject, /^O=SPIFFE\nserialNumber=\d+$/);
    const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey, notBefore, notAfter });
    assert.equal(await opensslFault(t, leaf, chain, roots, Date.now()), undefined);
  });
}

test('the example says what openssl says', async (t) => {
  const { folder } = await world(t);
  writeFileSync(path.join(folder, 'ca.key'), 'no key');
  assert.match(await reasonOf(open([example(folder), folder])), /^the program ended with status 1: .*key/i);
});

test('an issuer with path length 0 is found', async (t) => {
  const { folder } = await world(t, { pathLength: 0 });
  assert.match(await reasonOf(open([example(folder), folder])), /"CN=issuer" has path length 0/);
});

test('roots may come from a bundle file instead', async (t) => {
  const { folder, upstream, root } = await world(t);
  const bundleFile = path.join(folder, 'bundle.crt');
  writeFileSync(bundleFile, root.certificate.toString());
  const script = `${example(folder)} ${folder} | sed '/^$/d' | awk '/BEGIN/ { n++ } n < 3'`;
  assert.match(await reasonOf(upstream(script)), /the chain ends at "CN=issuer"/);
  assert.equal((await mint(upstream(script, { bundleFile }))).roots.length, 1);
});

test('the program gets its arguments as they are, a clean environment, the CSR, and nothing else', async (t) => {
  process.env.UPSTREAM_SECRET = 'do not pass on';
  t.after(() => delete process.env.UPSTREAM_SECRET);
  const { folder, upstream } = await world(t);
  const args = ['$(touch x)', '', 'a b', '*', '--flag=1'];
  const script = `{ env; echo "cwd $PWD"; for one in "$@"; do echo "arg <$one>"; done; ls -l /proc/self/fd; ps -o sid=,pgid=,pid= -p $$; cat; } >${folder}/seen; exit 3`;
  assert.match(await reasonOf(upstream(script, { args })), /status 3 and wrote nothing to stderr/);
  const seen = readFileSync(path.join(folder, 'seen'), 'utf8');
  // The request, which ends the text, may have a line that looks the same.
  const names = [...seen.slice(0, seen.indexOf('\ncwd ')).matchAll(/^(\w+)=/gm)]
    .map(([, name]) => name!)
    .filter((name) => !['PWD', 'OLDPWD', '_', 'SHLVL'].includes(name));
  assert.deepEqual(names.sort(), ['LC_ALL', 'PATH', 'SIDEKEY_CA_TTL', 'SIDEKEY_TRUST_DOMAIN']);
  assert.match(seen, /^SIDEKEY_CA_TTL=86400$/m);
  assert.match(seen, /^SIDEKEY_TRUST_DOMAIN=ilinux.io$/m);
  assert.match(seen, /^cwd \/$/m);
  assert.deepEqual(
    [...seen.matchAll(/^arg <(.*)>$/gm)].map(([, arg]) => arg),
    args,
  );
  assert.match(seen, /-----BEGIN CERTIFICATE REQUEST-----[^-]+-----END CERTIFICATE REQUEST-----\n$/);
});

test('the program has no descriptor but the standard ones, whatever Sidekey has open or was started with', async (t) => {
  const { folder } = await world(t);
  const program = path.join(folder, 'program');
  writeFileSync(program, `#!/bin/sh\nls /proc/$$/fd >${folder}/fds\nexit 3\n`, { mode: 0o700 });
  const code = `
    import { openSync } from 'node:fs';
    import net from 'node:net';
    import { CommandUpstream } from '${ROOT}/src/ca/upstream/command.ts';
    openSync('/etc/passwd');
    const server = net.createServer().listen(0, '127.0.0.1');
    const source = new CommandUpstream({ argv: [${JSON.stringify(program)}], trustDomain: 'ilinux.io', bundleFile: undefined });
    await source.sign({ csr: 'x', life: 1000, signal: AbortSignal.timeout(30000) }).catch((error) => console.log(error.message));
    server.close();`;
  const shell = 'exec 9</etc/passwd; exec 7</etc/group; exec "$0" --input-type=module-typescript -e "$1"';
  const child = spawn('/bin/bash', ['-c', shell, process.execPath, code], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
  });
  const said = await text(child.stdout);
  assert.match(said, /status 3/);
  // 10 or 255 are the shell's own, for its script.
  const fds = readFileSync(path.join(folder, 'fds'), 'utf8').trim().split('\n').map(Number);
  assert.deepEqual(fds.filter((fd) => fd < 10).sort(), [0, 1, 2]);
});

describe('a program that', () => {
  test('fails is quoted, escaped and shortened', async (t) => {
    const { upstream } = await world(t);
    const reason = await reasonOf(
      upstream(`printf '\\033[31mno\\ntoken' >&2; head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 7`),
    );
    assert.ok(reason.startsWith('the program ended with status 7: \\u001b[31mno\\u000atokenxxx'), reason);
    assert.ok(reason.length < 600, `${reason.length}`);
  });

  test('prints nothing is refused', async (t) => {
    const { upstream } = await world(t);
    assert.equal(await reasonOf(upstream('cat >/dev/null')), 'the answer is refused: it has no certificate');
  });

  test('prints 10 MiB is killed at the first', async (t) => {
    const { upstream, folder } = await world(t);
    const script = `echo $$ >${folder}/pid; head -c 10485760 /dev/zero; echo done >${folder}/done; sleep 600`;
    assert.equal(await reasonOf(upstream(script)), 'it printed more than 1048576 bytes');
    const pid = Number(readFileSync(path.join(folder, 'pid'), 'utf8'));
    await until(() => !isAlive(pid));
    assert.ok(!existsSync(path.join(folder, 'done')));
  });

  test('prints without an end is killed', async (t) => {
    const { upstream } = await world(t);
    assert.equal(await reasonOf(upstream('yes')), 'it printed more than 1048576 bytes');
  });

  test('takes too long is killed with all that it has started', async (t) => {
    const { upstream, folder } = await world(t);
    const script = `trap '' TERM INT HUP; sleep 600 & echo $! >${folder}/child; echo $$ >${folder}/pid; wait`;
    assert.equal(await reasonOf(upstream(script, { timeout: 700 })), 'no answer within 0.7 s');
    for (const name of ['pid', 'child']) {
      const pid = Number(readFileSync(path.join(folder, name), 'utf8'));
      await until(() => !isAlive(pid));
    }
  });

  test('is not needed any more is killed', async (t) => {
    const { upstream, folder } = await world(t);
    const stop = new AbortController();
    const slow = upstream(`echo $$ >${folder}/pid; sleep 600`);
    const waiting = slow.mint({ privateKey: newKey(), life: DAY, signal: stop.signal });
    const pidFile = path.join(folder, 'pid');
    await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '');
    stop.abort();
    await assert.rejects(waiting, /the request was ended before there was an answer/);
    await until(() => !isAlive(Number(readFileSync(pidFile, 'utf8'))));
  });

  test('does not read its input, or closes it, is judged by what it prints', async (t) => {
    const { upstream } = await world(t);
    const text = 'x'.repeat(100);
    for (const script of [`exec 0<&-; sleep 0.1; echo ${text}`, `echo ${text}`]) {
      assert.match(await reasonOf(upstream(script)), /it has no certificate/);
    }
  });

  test('leaves a process behind that keeps its output open does not delay the answer', async (t) => {
    const { upstream, folder } = await world(t);
    const script = `sleep 600 & echo $! >${folder}/child; exec ${example(folder)} ${folder}`;
    const { chain } = await mint(upstream(script));
    assert.equal(chain.length, 2);
    await until(() => !isAlive(Number(readFileSync(path.join(folder, 'child'), 'utf8'))));
  });

  test('forks a daemon in a session of its own that keeps its output open delays it by a second', async (t) => {
    const { upstream, folder } = await world(t);
    const script = `setsid sh -c 'echo $$ >${folder}/daemon; exec sleep 60' & until [ -s ${folder}/daemon ]; do :; done; exec ${example(folder)} ${folder}`;
    const { chain } = await mint(upstream(script));
    assert.equal(chain.length, 2);
    process.kill(Number(readFileSync(path.join(folder, 'daemon'), 'utf8')), 'SIGKILL');
  });

  test('forks a daemon that prints for ever is stopped at the limit', async (t) => {
    const { upstream, folder } = await world(t);
    const script = `setsid sh -c 'echo $$ >${folder}/daemon; exec yes' & until [ -s ${folder}/daemon ]; do :; done`;
    assert.equal(await reasonOf(upstream(script)), 'it printed more than 1048576 bytes');
  });

  test('is killed by a signal is named with it', async (t) => {
    const { upstream } = await world(t);
    assert.match(await reasonOf(upstream('kill -SEGV $$')), /the program was ended by SIGSEGV/);
  });
});

describe('a program is not run', () => {
  const CASES: readonly { is: string; change: (file: string, folder: string) => void; reason: RegExp; root?: true }[] =
    [
      {
        is: 'that others can write',
        change: (file) => chmodSync(file, 0o777),
        reason: /program can be written by others \(mode 0777\)/,
      },
      { is: 'that its group can write', change: (file) => chmodSync(file, 0o770), reason: /can be written by others/ },
      {
        is: 'in a folder that others can write',
        change: (_, folder) => chmodSync(folder, 0o777),
        reason: /can be written by everybody/,
      },
      { is: 'that is not executable', change: (file) => chmodSync(file, 0o600), reason: /program is not executable/ },
      {
        is: 'of another user',
        change: (file) => chownSync(file, NOBODY, NOBODY),
        reason: /belongs to uid 65534/,
        root: true,
      },
      {
        is: 'in a folder of another user',
        change: (_, folder) => chownSync(folder, NOBODY, NOBODY),
        reason: /belongs to another user/,
        root: true,
      },
    ];
  for (const { is, change, reason, root } of CASES) {
    const skip = root && process.getuid!() !== 0 && 'only root can give files away';
    test(is, { skip: skip ?? false }, async (t) => {
      const { folder } = await world(t);
      const inner = path.join(folder, 'inner');
      mkdirSync(inner);
      const file = path.join(inner, 'program');
      copyFileSync('/bin/true', file);
      chmodSync(file, 0o755);
      change(file, inner);
      const command = open([file]);
      assert.match(command.problem()!, reason);
      assert.match(await reasonOf(command), reason);
      chmodSync(inner, 0o700);
    });
  }

  test('that is a folder, missing, or given by a relative path', async (t) => {
    const { folder } = await world(t);
    assert.match(await reasonOf(open([folder])), /is not a file/);
    assert.match(await reasonOf(open([`${folder}/none`])), /there is no program/);
    assert.match(open(['true']).problem()!, /"true" is not an absolute path/);
  });

  test('behind a symbolic link in a place of others, but one behind a link of ours is', async (t) => {
    const { folder } = await world(t);
    const open777 = path.join(folder, 'open');
    mkdirSync(open777);
    chmodSync(open777, 0o777);
    const [bad, good] = [path.join(open777, 'link'), path.join(folder, 'link')];
    for (const link of [bad, good]) symlinkSync(example(folder), link);
    assert.match(await reasonOf(open([bad, folder])), /can be written by everybody/);
    assert.equal((await mint(open([good, folder]))).chain.length, 2);
  });
});
