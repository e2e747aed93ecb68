/**
 * Walks through docs/operations.md: each command of its blocks and of its sentences is run in the order of the page, in a
 * copy of this machine's root, where the paths of the page are those of a server. The commands that can't be run are in
 * {@link NOT_RUN} with the reason, and are printed.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openNotifySocket } from '../support/notify-socket.ts';
import { openOverlayRoot, whyNoOverlayRoot } from '../support/overlay-root.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const PAGE = readFileSync(path.join(ROOT, 'docs/operations.md'), 'utf8');

/** What the sentences name of a command only, or with placeholders: the whole command. */
const WHOLE: Readonly<Record<string, string>> = {
  'bin/sidekey serve': 'bin/sidekey serve --config /etc/sidekey/sidekey.yaml',
  'bin/sidekey serve --check': 'bin/sidekey serve --check --config /etc/sidekey/sidekey.yaml',
  'sidekey explain --pid': 'sidekey explain --pid $PID',
  'sidekey explain --pid PID --spiffe-id ID': 'sidekey explain --pid $PID --spiffe-id spiffe://example.org/web',
  'bin/sidekey explain --pid PID --spiffe-id ID': 'bin/sidekey explain --pid $PID --spiffe-id spiffe://example.org/web',
  'bin/sidekey explain d-…': 'bin/sidekey explain $DECISION',
  'sidekey entry': 'sidekey entry list',
  'sidekey entry create': 'sidekey entry create --spiffe-id spiffe://example.org/made-$N --selector unix:uid:$N',
  'bin/sidekey entry create|list|show|update|delete|count': [
    'bin/sidekey entry create --entry-id tried --spiffe-id spiffe://example.org/tried --selector unix:uid:77',
    'bin/sidekey entry list',
    'bin/sidekey entry show trie',
    'bin/sidekey entry update spiffe://example.org/tried --hint other',
    'bin/sidekey entry delete tried',
    'bin/sidekey entry count',
  ].join(' && '),
  'bin/sidekey entry update ID --federates-with partner.example':
    'bin/sidekey entry update spiffe://example.org/web --federates-with partner.example',
  'sidekey entry delete ID --revoke':
    'sidekey entry create --entry-id gone --spiffe-id spiffe://example.org/gone --selector unix:uid:78 && sidekey entry delete gone --revoke',
  'sidekey revoke': 'sidekey fetch x509 >/dev/null && sidekey revoke --spiffe-id spiffe://example.org/root',
  'sidekey apply': 'sidekey apply -f /etc/sidekey/entries.yaml --dry-run',
  'sidekey apply -f FILE_OR_DIR': 'sidekey apply -f /etc/sidekey/more.yaml',
  'bin/sidekey completion bash|zsh|fish':
    'for shell in bash zsh fish; do bin/sidekey completion $shell >/dev/null || exit; done',
  'sidekey token create': 'sidekey token create reader-$N --role read',
  'sidekey fetch --write DIR --watch': 'sidekey fetch --write /root/svid --watch 2>&1',
  'sidekey helper -config FILE': 'sidekey helper -config /root/helper.conf 2>&1',
  'sidekey backup FILE': 'sidekey backup /root/sidekey.backup --plain',
  'sidekey restore FILE': 'sidekey restore /root/sidekey.backup --plain --data-dir /root/restored',
};

/** Commands that go on until somebody ends them, and what they print before. */
const ENDLESS: Readonly<Record<string, RegExp>> = {
  'curl -N --unix-socket /var/lib/sidekey/admin.sock http://sidekey/v1/events': /^event: /m,
  'sidekey fetch --write DIR --watch': /\S/,
  'sidekey helper -config FILE': /\S/,
  'sidekey page': /^http:\/\/sidekey-/m,
  'sidekey audit list --follow -o json': /^\{.*"action"/m,
};

/** For the commands that get an identity. */
const OWN_ENTRY = 'sidekey entry create --spiffe-id spiffe://example.org/root --selector unix:uid:0';

/** A change that leaves nothing behind. */
const CHANGE =
  'sidekey entry create --entry-id meanwhile --spiffe-id spiffe://example.org/meanwhile --selector unix:uid:9 && sidekey entry delete meanwhile';

/** Doctor's status says whether this machine has faults; it has no Envoy and perhaps an old kernel. */
const MAY_FAIL = new Set(['sidekey doctor', 'bin/sidekey doctor']);

const NO_SYSTEMD =
  'no systemd runs in a test: test/scripts/unit-file.test.ts and test/e2e/supervisor.test.ts have its part';
const NO_ENGINE = 'it is a command of a container engine, of which test/compose/ and test/attest/ have their own';

const NOT_RUN: Readonly<Record<string, string>> = {
  'systemctl reload': NO_SYSTEMD,
  'systemctl status PID': NO_SYSTEMD,
  'docker compose kill -s HUP sidekey': NO_ENGINE,
  'docker compose exec sidekey sidekey …': NO_ENGINE,
  'docker run --cgroupns=host': NO_ENGINE,
  'docker inspect': NO_ENGINE,
  'docker rmi': NO_ENGINE,
  'docker compose': NO_ENGINE,
  'docker exec': NO_ENGINE,
  'docker run --label role:admin=prod': 'it is what an attacker does; test/attest/docker.test.ts has it',
  'unshare --map-root-user': 'it is how a user namespace is made, which test/e2e/ does for its own tests',
  'unshare --user': 'it is how a user namespace is made, which test/e2e/ does for its own tests',
  'spire-server bundle show -format spiffe': 'it is a command of SPIRE, on another host',
  'chmod go-rwx': 'it is the beginning of a command that a message prints; test/base/data-dir.test.ts has it',
  'bin/sidekey doctor --envoy-admin URL': 'it needs an Envoy: test/doctor/ runs it against real ones',
};

/** No command of the page takes longer, in milliseconds, but those in {@link ENDLESS}. */
const COMMAND_MS = 30_000;

/** The commands of a page in its order: the lines of its shell blocks, and what sentences have between backquotes. */
function commandsOf(page: string): string[] {
  const found: string[] = [];
  for (const [, language, block, span] of page.matchAll(/^```(\w*)\n([\s\S]*?)^```$|`([^`]+)`/gm)) {
    if (block !== undefined && language === '') {
      for (const line of block.trim().split('\n')) found.push(line.replace(/\s+# .*$/, ''));
    }
    const text = span?.replaceAll('\n', ' ');
    if (text !== undefined && /^(?:bin\/)?(?:sidekey|curl|systemctl|docker|chmod|unshare|spire-server) \S/.test(text)) {
      found.push(text);
    }
  }
  return found;
}

const HELPER = `agent_address = "/run/sidekey/agent.sock"
cert_dir = "/root/helper"
svid_file_name = "svid.pem"
svid_key_file_name = "key.pem"
svid_bundle_file_name = "bundle.pem"
`;

/** The YAML blocks: the settings and the entries. */
const [SETTINGS, ENTRIES] = [...PAGE.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text!) as [
  string,
  string,
];

function whyNot(): string | undefined {
  if (ROOT.startsWith('/tmp/') || ROOT.startsWith('/run/')) return 'the clone is in a directory that is empty there';
  if (spawnSync('curl', ['--version']).error !== undefined) return 'there is no curl';
  return whyNoOverlayRoot();
}

async function open(t: TestContext) {
  const { launcher } = await openOverlayRoot(t, tempDir(t));
  const env: Record<string, string> = { SIDEKEY_ALLOW_UNPINNED_PEERS: 'true' };
  const words = (script: string) => {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return [...launcher, ...variables, 'sh', '-c', `cd ${ROOT}\n${script}`] as const;
  };
  const run = (script: string, input?: string) => {
    const [program, ...args] = words(script);
    return spawnSync(program, args, { encoding: 'utf8', input: input ?? '', timeout: COMMAND_MS });
  };
  const done = (script: string, input?: string) => {
    const { status, stdout, stderr } = run(script, input);
    assert.equal(status, 0, `${script}\n${stdout}${stderr}`);
    return stdout;
  };
  const start = async (script: string) => {
    const manager = openNotifySocket(t, true);
    const [program, ...args] = words(`export NOTIFY_SOCKET=${manager.name}\nexec ${script}`);
    const child = spawn(program, args, { stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    await manager.next(/^READY=1/);
  };
  /** Runs a command until it has printed this, and ends it then. */
  const untilPrinted = async (script: string, like: RegExp) => {
    const [program, ...args] = words(script);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    const ended = once(child, 'close');
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    // Some print only what changes meanwhile.
    while (!like.test(printed) && child.exitCode === null) {
      done(CHANGE);
      await pause(10);
    }
    child.kill('SIGKILL');
    await ended;
    assert.match(printed, like, script);
  };
  return { env, run, done, start, untilPrinted };
}

it('docs/operations.md goes as written, command by command', {
  skip: whyNot() ?? false,
  timeout: 280_000,
}, async (t) => {
  const commands = commandsOf(PAGE);
  const texts = new Set(commands);
  for (const key of [...Object.keys(WHOLE), ...Object.keys(ENDLESS), ...Object.keys(NOT_RUN), ...MAY_FAIL]) {
    assert.ok(texts.has(key), `the page no longer has: ${key}`);
  }
  const { env, run, done, start, untilPrinted } = await open(t);
  done(
    'rm -rf /var/lib/sidekey /etc/sidekey && mkdir /etc/sidekey && ln -sf "$PWD/bin/sidekey" /usr/local/bin/sidekey',
  );
  done('getent group envoy || groupadd --system envoy; getent passwd envoy || useradd --system --gid envoy envoy');
  done('cat >/etc/sidekey/sidekey.yaml', SETTINGS);
  done('cat >/etc/sidekey/entries.yaml', ENTRIES);
  done('mkdir -m 0700 /root/svid /root/helper; cat >/root/helper.conf', HELPER);
  done(
    'sed "s#example.org/web#example.org/more#; s#web.example.org#more.example.org#" /etc/sidekey/entries.yaml >/etc/sidekey/more.yaml',
  );
  // The partner of "Other trust domains".
  await start(
    'bin/sidekey serve --trust-domain partner.example --data-dir /root/partner --socket /run/partner/agent.sock',
  );
  done('bin/sidekey bundle show --format spiffe --admin-socket /root/partner/admin.sock >/root/partner.json');
  const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.after(() => sleeper.kill());
  env.PID = String(sleeper.pid);

  let isServing = false;
  for (const [at, text] of commands.entries()) {
    env.N = String(at + 1_000);
    if (NOT_RUN[text] !== undefined) continue;
    const command = (WHOLE[text] ?? text)
      .replace('partner.json', '/root/partner.json')
      .replace('>> audit.jsonl', '>>/root/audit.jsonl');
    if (text === 'bin/sidekey serve') {
      if (!isServing) await start(command);
      isServing = true;
      done(OWN_ENTRY);
      const refused = run('setpriv --reuid 4242 --regid envoy --clear-groups bin/sidekey fetch').stderr;
      env.DECISION = /d-[0-9a-f]{12}/.exec(refused)?.[0] ?? assert.fail(refused);
      continue;
    }
    const endless = ENDLESS[text];
    if (endless !== undefined) {
      await untilPrinted(`exec ${command}`, endless);
      continue;
    }
    const { status, stdout, stderr } = run(command);
    const isFine = status === 0 || (status === 1 && MAY_FAIL.has(text));
    assert.ok(isFine, `${text}, as ${command}: ${status}\n${stdout}${stderr}`);
    // It deletes all entries: a reload brings back those of the file.
    if (text.includes('xargs')) done(`sidekey apply -f /etc/sidekey/entries.yaml && ${OWN_ENTRY}`);
  }
  for (const [command, reason] of Object.entries(NOT_RUN)) t.diagnostic(`not run: ${command}: ${reason}`);
});
