/** The broken set-ups. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { endAfter } from '../support/caller.ts';
import { makeCertificate } from '../support/certificates.ts';
import { makeCgroup } from '../support/cgroup.ts';
import { SdsClient } from '../support/sds-client.ts';
import { answering, containerJson, IMAGE_ID, runningAs } from '../support/stand-in-engine.ts';

import { AUTHORITY_CASES } from './authority-cases.ts';
import type { Case, CheckCase, DoctorCase, ExplainCase, LintCase, RestartCase, SilenceCase, Stage } from './case.ts';
import { COMMANDS } from './command-cases.ts';

import { ENVOY_CASES } from './envoy-cases.ts';

const MINE = `unix:uid:${process.getuid!()}`;
const MY_PATH = `unix:path:${process.execPath}`;
const LIMITED = 'spiffe://ilinux.io/limited';
const HOURS = 7_200_000;
const HELD =
  '`gRPC config: initial fetch timed out for type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret` after 15 s; then connections are reset, with `TLS_error:_Secret_is_not_supplied_by_SDS` in the access log. Sidekey: `name held`, with the reason and the decision';
const pipeError = (reason: string) =>
  `\`StreamSecrets gRPC config stream to sidekey closed since 37s ago: 14, … immediate_connect_error:_${reason}\`, from 30 s on`;

async function entry(stage: Stage, spiffeId: string, selectors: readonly string[], more: object = {}): Promise<string> {
  const body = { spiffe_id: spiffeId, selectors, ...more };
  return (await stage.admin.json<{ id: string }>('POST', '/v1/entries', { body })).id;
}

const LEFT =
  'if the old entry is out of date, change or delete it yourself: explain prints its id, but no command that changes it';
const LOOK_FIRST = 'before you run it, check that container and image are the ones that you mean';
const CREATE_FOR_CONTAINER =
  'sidekey entry create --spiffe-id ID --selector docker:image_config_digest:sha256:… --selector docker:name:web-1';
const CREATE = 'sidekey entry create --spiffe-id ID --selector unix:uid:0 --selector unix:path:/usr/bin/envoy';

const withEngine: DoctorCase['own'] = ({ engine }) => ({ dockerSocket: engine.socketPath });

/** A process in a container, as its cgroup and the engine say, with these labels. Its pid. */
function startContained({ engine }: Stage, t: TestContext, labels: Readonly<Record<string, string>>): number {
  const id = randomBytes(32).toString('hex');
  const { pid } = startSleeper(t);
  makeCgroup(t, id).join(pid!);
  const config = { Image: 'envoy:v1', Labels: labels, Env: ['MODE=test'] };
  engine.answer = answering(containerJson(id, { State: runningAs(pid!), Config: config }));
  return pid!;
}

/** A file beside the engine's socket, in a folder of the test's own. */
function entriesFileOf({ socketPath }: Stage['engine']): string {
  return path.join(path.dirname(socketPath), 'entries.yaml');
}

const NOBODY = 65_534;
/** An account of every host whose processes no other test starts: one that may connect would speak for all of them. */
const NEWS = 9;
/** It has a name on every host. */
const PIPE_GROUP = 1;

/** As with --socket-group. */
function openToGroup({ directory, socket }: Stage): void {
  chmodSync(directory, 0o711);
  chownSync(socket, process.getuid!(), PIPE_GROUP);
  chmodSync(socket, 0o660);
}

async function entriesOf(stage: Stage, name: string): Promise<{ id: string }[]> {
  const query = new URLSearchParams({ spiffe_id: `spiffe://ilinux.io/${name}` });
  return (await stage.admin.json<{ entries: { id: string }[] }>('GET', `/v1/entries?${query}`)).entries;
}

/** Changes the one entry of this name. */
async function change(stage: Stage, name: string, body: object): Promise<void> {
  const [one] = await entriesOf(stage, name);
  await stage.admin.json('PATCH', `/v1/entries/${one!.id}`, { body });
}

const PARTNER = 'partner.example';
const ENDPOINT_ID = `spiffe://${PARTNER}/sidekey/server`;
const ROOT = await makeAuthority();
const NEXT_ROOT = await makeAuthority('next root');
const allowLoopback: DoctorCase['own'] = () => ({ federationAllow: '127.0.0.0/8' });

/** Makes a relationship whose first fetch succeeds. */
async function federate({ admin }: Stage, t: TestContext) {
  const endpoint = await bundleEndpoint(t, await ROOT.leaf({ uris: [ENDPOINT_ID] }));
  const document = { keys: [ROOT.key], spiffe_sequence: 1 };
  endpoint.answer(document);
  const body = {
    trust_domain: PARTNER,
    bundle_endpoint_url: endpoint.url,
    bundle_endpoint_profile: 'https_spiffe',
    endpoint_spiffe_id: ENDPOINT_ID,
    trust_domain_bundle: ROOT.pem,
  };
  const { state } = await admin.json<{ state: string }>('POST', '/v1/federation', { body });
  assert.equal(state, 'fresh');
  return { endpoint, document };
}

async function refreshInVain({ admin }: Stage): Promise<void> {
  await assert.rejects(admin.json('POST', `/v1/federation/${PARTNER}/refresh`), { code: 'ERR_FEDERATION' });
}

function startSleeper(t: TestContext, who: { uid?: number; gid?: number } = {}) {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore', ...who });
  endAfter(t, child);
  return child;
}

const EXPLAINED: readonly Omit<ExplainCase, 'by'>[] = [
  {
    symptom: 'A new workload gets no certificate',
    words: HELD,
    cause: 'there is no entry for its SPIFFE ID',
    name: 'new',
    says: /\/new is not given: no-entry: no entry gives/,
    break: () => undefined,
    fix: CREATE,
  },
  {
    symptom: 'An Envoy gets no certificate although there is an entry: it runs as another user',
    words: HELD,
    cause: 'the entry names a user, and the process runs as another one',
    name: 'other-user',
    says: /needs unix:user:daemon, has /,
    break: (stage, spiffeId) => entry(stage, spiffeId, ['unix:user:daemon']),
    fix: CREATE,
    note: 'the entry of the other user stays as it is. The uid alone would match every process of root, so the new entry also asks for the program',
  },
  {
    symptom: 'An Envoy gets no certificate since its container has another uid',
    words: HELD,
    cause: 'the entry has a uid that the process no longer has',
    name: 'other-uid',
    says: new RegExp(`needs unix:uid:4000000, has ${MINE}`),
    break: (stage, spiffeId) => entry(stage, spiffeId, ['unix:uid:4000000', MY_PATH]),
    fix: CREATE,
    note: LEFT,
  },
  {
    symptom: 'An Envoy gets no certificate since it was upgraded',
    words: HELD,
    cause: 'the entry has the path that the program had before',
    name: 'other-path',
    says: /needs unix:path:\/opt\/old\/bin\/node, has unix:path:/,
    break: (stage, spiffeId) => entry(stage, spiffeId, [MINE, 'unix:path:/opt/old/bin/node']),
    fix: CREATE,
    note: LEFT,
  },
  {
    symptom: 'An Envoy gets no certificate: a selector is mistyped by a letter',
    words: HELD,
    cause: 'the path in the entry has one letter too many',
    name: 'mistyped-path',
    says: /: mistyped\?/,
    break: (stage, spiffeId) => entry(stage, spiffeId, [MINE, `${MY_PATH}e`]),
    fix: CREATE,
    note: LEFT,
  },
  {
    symptom: 'An Envoy gets no certificate: the name that it asks for is mistyped',
    words: HELD,
    cause: 'the bootstrap has a SPIFFE ID that differs in a letter from the one of the entry',
    name: 'biling',
    says: /did you mean spiffe:\/\/ilinux\.io\/billing\?/,
    break: (stage, spiffeId) => entry(stage, spiffeId.replace('biling', 'billing'), [MINE]),
    byHand: (stage, spiffeId) => entry(stage, spiffeId, [MINE, MY_PATH]),
    fix: 'correct the name in the bootstrap; no command is given, since the caller already gets the identity that was meant',
    note: 'if both names are meant, make an entry for the other one too: `sidekey entry create`',
  },
  {
    symptom: 'A certificate is no longer renewed',
    words: 'Nothing, until its end; then peers say `CERTIFICATE_VERIFY_FAILED: certificate has expired`',
    cause: 'the entry has expired',
    name: 'over',
    says: /expired at 2026-01-01T00:00:00\.000Z/,
    break: (stage, spiffeId) => entry(stage, spiffeId, [MINE], { expires_at: '2026-01-01T00:00:00Z' }),
    fix: 'sidekey entry update ENTRY --expires-at never',
  },
  {
    symptom: 'A workload that left its container gets no certificate',
    words: HELD,
    cause: 'the entry has a container selector, and the process is not in a container',
    name: 'no-container',
    says: /needs docker:label:app:web, has none/,
    break: (stage, spiffeId) => entry(stage, spiffeId, ['docker:label:app:web', MINE]),
    fix: CREATE,
  },
  {
    symptom: 'Two entries give the SPIFFE ID, and neither to this workload',
    words: HELD,
    cause: 'the workload lacks a selector of each; the nearest entry is shown first',
    name: 'two',
    says: /has 1 of 2\n {4}needs unix:gid:4000000/,
    break: async (stage, spiffeId) => {
      await entry(stage, spiffeId, ['unix:uid:4000000', 'unix:gid:4000000']);
      await entry(stage, spiffeId, [MINE, 'unix:gid:4000000']);
    },
    fix: CREATE,
  },
  {
    symptom: 'A second workload should get an identity that another one has',
    words: HELD,
    cause: 'another workload uses the entry now: the command makes a second entry, and does not change the first',
    name: 'shared',
    says: /needs unix:path:.*\n {4}note: a connected caller has the identity through this entry/,
    break: async (stage, spiffeId, t) => {
      await entry(stage, spiffeId, [MY_PATH, MINE]);
      const stream = stage.connect().stream();
      t.after(() => stream.cancel());
      stream.ask(spiffeId);
      await stream.next();
      return startSleeper(t).pid;
    },
    fix: CREATE,
  },
  {
    symptom: 'A container asks for the identity of another container, whose label it lacks',
    words: HELD,
    cause: 'the entry is for a container with another label. The user who starts a container chooses its labels',
    name: 'other-label',
    says: /needs docker:label:app:web, has docker:label:app:evil/,
    own: withEngine,
    break: async (stage, spiffeId, t) => {
      await entry(stage, spiffeId, ['docker:label:app:web']);
      return startContained(stage, t, { app: 'evil' });
    },
    fix: CREATE_FOR_CONTAINER,
    note: LOOK_FIRST,
  },
  {
    symptom: 'A container gets no certificate: the value of a variable differs',
    words: HELD,
    cause: 'the entry is for a container with another value. The user who starts a container chooses its variables',
    name: 'other-variable',
    says: /needs docker:env:MODE=\[redacted\], has docker:env:MODE=\[redacted\]/,
    own: withEngine,
    break: async (stage, spiffeId, t) => {
      await entry(stage, spiffeId, ['docker:env:MODE=web']);
      return startContained(stage, t, {});
    },
    fix: CREATE_FOR_CONTAINER,
    note: LOOK_FIRST,
  },
  {
    symptom: 'A container gets no certificate by a template: its label is that of its image',
    words: HELD,
    cause: 'the image has the label that the template names, and any image could have it',
    name: 'templated/web-1',
    says: /not rendered: \{docker\.label\.app\} has no value: the image itself has the label app with this value/,
    own: withEngine,
    break: async (stage, _spiffeId, t) => {
      await entry(stage, 'spiffe://ilinux.io/templated/{docker.label.app}', ['docker:label:app:web-1']);
      // The engine says the same of the image.
      return startContained(stage, t, { app: 'web-1' });
    },
    byHand: (stage) =>
      change(stage, 'templated/{docker.label.app}', { spiffe_id: 'spiffe://ilinux.io/templated/{docker.name}' }),
    fix: 'start the container with a label that its image does not have, or use another placeholder in the template: [templates.md](templates.md)',
  },
  {
    symptom: 'An Envoy gets no certificate: the entry leaves it out',
    words: HELD,
    cause: 'the entry has a negative selector for a fact that the process has',
    name: 'left-out',
    says: new RegExp(`has the excluded unix:gid:${process.getgid!()}`),
    break: (stage, spiffeId) => entry(stage, spiffeId, [MINE, `!unix:gid:${process.getgid!()}`]),
    fix: CREATE,
    note: LEFT,
  },
  {
    symptom: 'A container asks for the identity of a user of the host',
    words: HELD,
    cause: 'the entry is for a uid, and root in any container can take on every uid',
    name: 'withheld',
    says: /it is not for callers in containers\n {4}note: .*--allow-contained would give the identity to every container/,
    own: withEngine,
    break: async (stage, spiffeId, t) => {
      await entry(stage, spiffeId, [MINE]);
      return startContained(stage, t, {});
    },
    fix: CREATE_FOR_CONTAINER,
    note: LOOK_FIRST,
  },
  {
    symptom: 'A process in a container gets no certificate, and the server asks no container engine',
    words: HELD,
    cause: 'the server has no facts about the container, and root in any container can take on the unix selectors',
    name: 'unknown-container',
    says: /note: the caller is in an unknown container, .* sidekey serve with --docker-socket to identify the container/,
    own: () => ({}),
    break: (stage, _spiffeId, t) => startContained(stage, t, {}),
    fix: "start the server with `--docker-socket`; where no engine knows the container and every container of the host may have it: `sidekey entry create --allow-contained` with the caller's unix selectors",
    byHand: (stage, spiffeId) => entry(stage, spiffeId, [MINE], { allow_contained: true }),
  },
  {
    symptom: 'An Envoy gets no certificate although its entry matches: it can not connect to the pipe',
    words: pipeError('Permission_denied'),
    cause: 'its process is not in the group of the socket, or may not pass a directory above it',
    name: 'no-way-in',
    says: /it is not connected to the pipe now: it may not connect to .*\nto let it connect: .*\nrun: usermod -aG /,
    own: () => ({}),
    unreachable: true,
    break: async (stage, spiffeId, t) => {
      openToGroup(stage);
      await entry(stage, spiffeId, [`unix:uid:${NOBODY}`]);
      return startSleeper(t, { uid: NOBODY, gid: NOBODY }).pid;
    },
    byHand: (_stage, _spiffeId, t) => startSleeper(t, { uid: NOBODY, gid: PIPE_GROUP }).pid,
    fix: 'run the printed `usermod -aG GROUP USER` (systemd: `SupplementaryGroups=`, `docker run --group-add`), and start it again',
    note: 'in a container the socket may not be there at all: then explain says which directory to mount',
  },
  {
    symptom: 'A container gets no certificate, and one of its labels has control characters',
    words: HELD,
    cause:
      'there is no entry for its SPIFFE ID, and a terminal would not show the name of its compose service unchanged',
    name: 'odd-label',
    says: /note: the command is not printed, since one of its values has characters that a terminal cannot show/,
    own: withEngine,
    break: (stage, _spiffeId, t) =>
      startContained(stage, t, {
        'com.docker.compose.project': 'shop',
        'com.docker.compose.service': 'web\r\u202e',
      }),
    fix: 'see with `sidekey explain --output json` what it is; then `sidekey entry create` with selectors that you have checked, the digest of its image among them',
    byHand: (stage, spiffeId) =>
      entry(stage, spiffeId, ['docker:name:web-1', `docker:image_config_digest:${IMAGE_ID}`]),
  },
];

const LOST: readonly Omit<CheckCase, 'by'>[] = [
  {
    symptom: 'An Envoy that had its certificate gets no new one',
    words: 'Nothing, until its end; then peers say `CERTIFICATE_VERIFY_FAILED: certificate has expired`',
    cause: 'its entry was changed, so that it does not match any more, or was deleted',
    says: /held .* it had the secret before: lacks-selectors: entry \S+ gives \S+ to callers with unix:uid:4000000/,
    break: async (stage, t) => {
      const spiffeId = 'spiffe://ilinux.io/lost';
      await stage.create(spiffeId);
      const stream = stage.connect().stream();
      t.after(() => stream.cancel());
      stream.ask(spiffeId);
      stream.ack(await stream.next());
      await change(stage, 'lost', { selectors: ['unix:uid:4000000'] });
    },
    byHand: (stage) => change(stage, 'lost', { selectors: [MINE] }),
    fix: 'give the entry the selectors that the Envoy has: `sidekey explain --pid PID --spiffe-id ID` shows them, `sidekey entry update ENTRY --selector …` changes them',
    note: 'a name that waits for an entry that never existed does not count, unless `--waiting` is given',
  },
  {
    symptom: 'An Envoy still waits although its entry was made, or came with a reload of the entries file',
    words: HELD,
    cause: 'the Envoy lacks a selector of the new entry',
    says: /held .*lacks-selectors: entry \S+ gives \S+ to callers with unix:uid:4000000/,
    break: async (stage, t) => {
      const spiffeId = 'spiffe://ilinux.io/nearly';
      await waitFor(stage, spiffeId, t);
      await entry(stage, spiffeId, ['unix:uid:4000000', MY_PATH]);
      stage.clock.advance(1_000);
    },
    byHand: (stage) => change(stage, 'nearly', { selectors: [MINE, MY_PATH] }),
    fix: 'see what it lacks (`sidekey explain --pid PID --spiffe-id ID`), and correct the entry: `sidekey entry update ENTRY --selector …`, or edit its line in the entries file',
  },
];

/** Asks for this name and waits; the stream ends with the test. */
async function waitFor(stage: Stage, spiffeId: string, t: TestContext, node = 'node'): Promise<void> {
  const stream = stage.connect().stream();
  t.after(() => stream.cancel());
  stream.send({ resourceNames: [spiffeId], node: { id: node, cluster: 'test' } });
  const held = `/v1/proxies?state=held&name=${encodeURIComponent(spiffeId)}`;
  const look = async () => JSON.stringify(await stage.admin.json('GET', held));
  await wait('the name is held', { look, until: (text) => text.includes('no-entry') || text.includes('lacks-') });
}

const chmod = (file: (stage: Stage) => string, mode: number) => (stage: Stage) => chmodSync(file(stage), mode);

const FOUND: readonly Omit<DoctorCase, 'by'>[] = [
  {
    symptom: 'Workloads that an entry matches get no certificate, because its template is not rendered',
    words: HELD,
    cause: 'the template has a placeholder that has no value for them',
    own: () => ({}),
    rule: 'entry-unrendered',
    break: async (stage, t) => {
      await entry(stage, 'spiffe://ilinux.io/unrendered/{docker.name}', [MINE]);
      const client = new SdsClient(stage.socket);
      t.after(() => client.close());
      await client.fetch({ resourceNames: ['default'] }).catch(() => undefined);
    },
    byHand: (stage) =>
      change(stage, 'unrendered/{docker.name}', { spiffe_id: 'spiffe://ilinux.io/unrendered/{unix.uid}' }),
    fix: 'use a placeholder that has a value for them: [templates.md](templates.md)',
  },
  {
    symptom: 'Envoys of other users can not connect to the pipe',
    words: pipeError('Permission_denied'),
    cause: 'only its owner may connect',
    rule: 'pipe-closed',
    break: chmod(({ socket }) => socket, 0o600),
    fix: 'chmod 660 SOCKET',
    note: '`sidekey serve --socket-mode 0660` keeps it so',
  },
  {
    symptom: 'Envoys of other users can not connect to the pipe, although its mode allows it',
    words: pipeError('Permission_denied'),
    cause: 'a directory above it does not let them pass',
    rule: 'pipe-directory-closed',
    break: chmod(({ socket }) => socket, 0o666),
    fix: 'chmod o+x DIRECTORY',
  },
  {
    symptom: 'Every user with a shell on the host can ask for certificates',
    cause: 'the pipe is open to every user',
    own: () => ({}),
    rule: 'pipe-open',
    break: ({ directory, socket }) => {
      chmodSync(directory, 0o755);
      chmodSync(socket, 0o666);
    },
    fix: 'chmod 660 SOCKET',
    note: '`sidekey serve --socket-mode 0660` keeps it so',
  },
  {
    symptom: 'Another user could put a socket in the place of the pipe',
    words:
      '`…/agent.sock: … can be written by its group, who could put something else in its place; …` (Sidekey, at the next start)',
    cause: 'others may write in the directory of the sockets, or in one above it',
    rule: 'socket-directory-open',
    break: chmod(({ directory }) => directory, 0o770),
    // The test has made this one itself, and knows what is in it.
    byHand: ({ directory }) => chmodSync(directory, 0o700),
    fix: 'end the server and start it with its socket below a directory that only root or its user can write; trust nothing that is here',
  },
  {
    symptom: 'Another program listens on the pipe instead of Sidekey',
    cause: 'a user who could write in a directory above the pipe has put another socket in its place',
    own: () => ({}),
    rule: 'pipe-impostor',
    break: async ({ socket }, t) => {
      rmSync(socket);
      const listen = 'require("net").createServer().listen(process.argv[1], () => console.log("up"))';
      const impostor = spawn(process.execPath, ['-e', listen, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
      endAfter(t, impostor);
      await once(impostor.stdout, 'data');
    },
    byHand: ({ socket }) => rmSync(socket),
    fix: 'find out what it is (`ps -fp PID`) and end it; then restart the server, with its socket below a directory that only root or its user can write',
  },
  {
    symptom: 'Other users could connect to the admin API',
    cause: 'the mode of the admin socket was changed',
    rule: 'data-dir-open',
    break: chmod(({ adminSocket }) => adminSocket, 0o666),
    fix: 'chmod go-rwx ADMIN_SOCKET',
  },
  {
    symptom: 'There are two admin sockets, one of them beside the pipe',
    words: '`no process listens there: start sidekey serve` (the command line)',
    cause: 'a server of an earlier version, whose default was there, left it behind',
    rule: 'admin-socket-left',
    break: ({ directory }) => leaveSocket(path.join(directory, 'admin.sock')),
    fix: 'rm DIRECTORY/admin.sock',
  },
  {
    symptom: 'Sidekey does not start after a backup was restored',
    words: '`the data directory … is not closed to others; … close it with:` (Sidekey)',
    cause: 'other users can read files in the data directory',
    rule: 'data-dir-open',
    break: chmod(({ dataDir }) => path.join(dataDir, 'sidekey.db'), 0o644),
    fix: 'chmod go-rwx DATA_DIR/sidekey.db',
    note: 'if others could pass through its directory too, they may have the keys: then move `ca` and `admin.token` away, and the next start makes new ones',
  },
  {
    symptom: 'Another user may have put a key or a database into the data directory',
    words:
      '`the data directory … holds what somebody else may have put there or changed; …` (Sidekey, at the next start)',
    cause: 'a file in the data directory can be written by others, belongs to another user, or is a link',
    rule: 'data-dir-suspect',
    break: chmod(({ dataDir }) => path.join(dataDir, 'sidekey.db'), 0o660),
    byHand: ({ dataDir }) => chmodSync(path.join(dataDir, 'sidekey.db'), 0o600),
    fix: 'move it away and restore it from a backup, as the user of Sidekey; do not change its owner or mode, which would trust what somebody else may have put there',
  },
  {
    symptom: 'A change of the entries file has no effect',
    words: '`the entries file was not reloaded: all entries stay as they are` (Sidekey, at a reload)',
    cause: 'the file has a fault since the edit, so the former entries stay in use, and a restart would fail',
    rule: 'entries-file',
    own: ({ engine }) => {
      writeFileSync(entriesFileOf(engine), 'entries: []\n');
      return { entries: entriesFileOf(engine) };
    },
    break: ({ engine }) => writeFileSync(entriesFileOf(engine), 'entries:\n- spiffe_id: spiffe://other.example/web\n'),
    byHand: ({ engine }) => writeFileSync(entriesFileOf(engine), 'entries: []\n'),
    fix: 'correct the file at the line that doctor names, then reload it: `systemctl reload sidekey`, or `kill -HUP PID`',
    note: 'a container that mounts the file by itself goes on seeing the old one when an editor replaces it: mount its folder',
  },
  {
    symptom: 'Others can list the data directory',
    words: '`the mode of the data directory was too open, … it is 0700 now` (Sidekey, at the next start)',
    cause: 'the data directory has the mode 0755',
    rule: 'data-dir-open',
    break: chmod(({ dataDir }) => dataDir, 0o755),
    fix: 'chmod go-rwx DATA_DIR',
  },
  {
    symptom: 'An entry has no effect: it selects by a user that does not exist',
    words: HELD,
    cause: 'the host has no user with the name in unix:user',
    rule: 'entry-unproducible',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/nobody', ['unix:user:no-such-user']),
    byHand: (stage) => change(stage, 'nobody', { selectors: [MINE] }),
    fix: 'give it selectors that callers have: `sidekey entry update ENTRY --selector …`, with all that it should have',
    note: 'an entry that a file declares is changed there: doctor names the file and the line',
  },
  {
    symptom: 'An entry has no effect: the name of its user is mistyped',
    words: HELD,
    cause: 'the host has no user with the name in unix:user, and one whose name differs in a letter',
    rule: 'entry-unproducible',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/typo', ['unix:user:rooot', MY_PATH]),
    fix: 'sidekey entry update ENTRY --selector unix:path:/usr/bin/envoy --selector unix:user:root',
    note: 'check that the other user is the one that is meant',
  },
  {
    symptom: 'An entry has no effect: it has container selectors, and Sidekey asks no engine',
    words: HELD,
    cause: 'sidekey serve runs without --docker-socket',
    rule: 'entry-unproducible',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/container', ['docker:label:app:web']),
    byHand: (stage) => change(stage, 'container', { selectors: [MINE] }),
    fix: 'start the server with `--docker-socket /var/run/docker.sock`, or give the entry selectors that callers have: `sidekey entry update ENTRY --selector …`',
  },
  {
    symptom: 'Old entries accumulate',
    cause: 'they have expired, and stay listed until they are deleted',
    rule: 'entry-expired',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/old', [MINE], { expires_at: '2026-01-01T00:00:00Z' }),
    byHand: (stage) => change(stage, 'old', { expires_at: '2030-01-01T00:00:00Z' }),
    fix: 'if the entry is still needed, extend it: `sidekey entry update ENTRY --expires-at TIME`; if not, delete it: `sidekey entry delete ENTRY`',
  },
  {
    symptom: 'The TTL or the DNS names of an entry have no effect',
    cause: 'an older entry gives the same SPIFFE ID to the same callers, and takes precedence',
    rule: 'entry-shadowed',
    break: async (stage) => {
      await entry(stage, 'spiffe://ilinux.io/twice', [MINE]);
      stage.clock.advance(1_000);
      await entry(stage, 'spiffe://ilinux.io/twice', [MINE, MY_PATH], { x509_svid_ttl: 60 });
    },
    byHand: async (stage) => {
      const [older, newer] = await entriesOf(stage, 'twice');
      await stage.admin.json('PATCH', `/v1/entries/${older!.id}`, { body: { x509_svid_ttl: 60 } });
      await stage.admin.text('DELETE', `/v1/entries/${newer!.id}`);
    },
    fix: 'set what is meant (TTL, DNS names) in the older entry, which the finding names: `sidekey entry update OLDER --x509-svid-ttl …`; then delete the other one',
  },
  {
    symptom: 'An entry names a program that this machine does not have',
    cause: 'the path is mistyped, or the program is not installed yet',
    rule: 'entry-program',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/gone', [MINE, 'unix:path:/opt/no-such-program']),
    fix: 'install the program, or correct the path: `sidekey entry update ENTRY --selector …`; `sidekey explain --pid PID` shows the path of a process',
    byHand: (stage) => change(stage, 'gone', { selectors: [MINE, MY_PATH] }),
  },
  {
    symptom: 'Proxies are connected, and wait for secrets',
    cause: 'no entry gives the names that they ask for',
    own: () => ({}),
    rule: 'proxies-waiting',
    break: (stage, t) => waitFor(stage, 'spiffe://ilinux.io/nobody-yet', t),
    fix: 'create the entry, or correct the name in the bootstrap; `sidekey proxies --state held` shows all of them',
    byHand: (stage) => entry(stage, 'spiffe://ilinux.io/nobody-yet', [MINE]),
  },
  {
    symptom: 'A connected proxy does not get a secret that it needs',
    cause: 'an entry gives it to other callers',
    own: () => ({}),
    rule: 'proxies-troubled',
    break: async (stage, t) => {
      await entry(stage, 'spiffe://ilinux.io/others', ['unix:uid:4000000']);
      await waitFor(stage, 'spiffe://ilinux.io/others', t);
    },
    fix: 'see what the process lacks: `sidekey proxies --check`, then `sidekey explain --pid PID --spiffe-id ID`',
    byHand: (stage) => change(stage, 'others', { selectors: [MINE] }),
  },
  {
    symptom: 'An entry is not used by any workload',
    cause: 'no caller has asked for it, or no caller that asked matches it',
    own: () => ({}),
    rule: 'entry-never-issued',
    break: async (stage) => {
      const spiffeId = 'spiffe://ilinux.io/unused';
      await entry(stage, spiffeId, ['unix:uid:4000000', MY_PATH]);
      stage.clock.advance(3_600_000);
    },
    fix: 'see what its workload lacks (`sidekey explain --pid PID --spiffe-id ID`), and give the entry the selectors that it should have: `sidekey entry update ENTRY --selector …`',
    byHand: (stage) => change(stage, 'unused', { selectors: [MINE, MY_PATH] }),
    after: (stage) => stage.connect().fetch({ resourceNames: ['spiffe://ilinux.io/unused'] }),
  },
  {
    symptom: 'The workload of an entry can not connect to the pipe: it is not in its group',
    words: pipeError('Permission_denied'),
    cause: 'the entry names a user, no process of whom may connect to the socket, or pass a directory above it',
    own: () => ({}),
    needsRoot: true,
    rule: 'user-unreachable',
    break: async (stage, t) => {
      openToGroup(stage);
      startSleeper(t, { uid: NEWS, gid: NEWS });
      await entry(stage, 'spiffe://ilinux.io/shut', [`unix:uid:${NEWS}`]);
    },
    standIn: { program: 'usermod', does: (_, t) => startSleeper(t, { uid: NEWS, gid: PIPE_GROUP }) },
    fix: 'usermod -aG GROUP USER',
    note: 'then start the program again: a process keeps the groups that it was started with (systemd: `SupplementaryGroups=`, `docker run --group-add`). Doctor knows the users that entries name; `sidekey explain --pid PID` says it of one process',
  },
  {
    symptom: 'An Envoy does not get the authorities of another trust domain',
    words: HELD,
    cause: 'an entry federates with a trust domain whose bundle is not set',
    rule: 'bundle-unset',
    break: (stage) => entry(stage, 'spiffe://ilinux.io/partner', [MINE], { federates_with: ['other.example'] }),
    byHand: async (stage) => {
      const { key } = await makeCertificate();
      await stage.admin.json('PUT', '/v1/bundles/other.example', { body: { keys: [key] } });
    },
    fix: 'get the bundle from the operator of the other trust domain, and set it: `sidekey bundle set DOMAIN --file BUNDLE`, or let the server fetch it: `sidekey federation create DOMAIN …`',
  },
  {
    symptom: 'The bundle of a partner gets old: its endpoint does not answer as it should',
    words: 'nothing, until the partner replaces its root: then `CERTIFICATE_VERIFY_FAILED`',
    cause: 'the bundle endpoint is down, has moved, or something in between answers',
    own: allowLoopback,
    rule: 'federation-failing',
    break: async (stage, t) => {
      const partner = await federate(stage, t);
      partner.endpoint.answer((_request, response) => response.writeHead(503).end());
      await refreshInVain(stage);
      partner.endpoint.answer(partner.document);
    },
    fix: 'sidekey federation refresh partner.example',
    note: 'first correct the reason that the finding names, which may be on the side of the partner; the last good bundle stays in use',
  },
  {
    symptom: 'The bundle endpoint of a partner is not known any more',
    words: '`CERTIFICATE_VERIFY_FAILED` with peers of the partner, whose authority is unknown',
    cause: 'the partner replaced its root while this server could not fetch the new one',
    own: allowLoopback,
    rule: 'federation-stale',
    break: async (stage, t) => {
      const { endpoint } = await federate(stage, t);
      endpoint.present(await NEXT_ROOT.leaf({ uris: [ENDPOINT_ID] }));
      endpoint.answer({ keys: [NEXT_ROOT.key], spiffe_sequence: 2 });
      await refreshInVain(stage);
    },
    byHand: async (stage) => {
      await stage.admin.json('PUT', `/v1/bundles/${PARTNER}`, { body: { keys: [NEXT_ROOT.key] } });
      await stage.admin.json('POST', `/v1/federation/${PARTNER}/refresh`);
    },
    fix: 'get the present bundle from the operator of the partner, and set it: `sidekey bundle set DOMAIN --file BUNDLE`; the endpoint is asked again at once',
  },
  {
    symptom: 'All peers of a partner are refused',
    words: '`CERTIFICATE_VERIFY_FAILED`',
    cause: 'the partner published a bundle without authorities: it has withdrawn its trust, or made a mistake',
    own: allowLoopback,
    rule: 'federation-revoked',
    break: async (stage, t) => {
      const { endpoint } = await federate(stage, t);
      endpoint.answer({ keys: [], spiffe_sequence: 2 });
      await stage.admin.json('POST', `/v1/federation/${PARTNER}/refresh`);
      endpoint.answer({ keys: [ROOT.key], spiffe_sequence: 3 });
    },
    byHand: async (stage) => {
      await stage.admin.json('PUT', `/v1/bundles/${PARTNER}`, { body: { keys: [ROOT.key] } });
      await stage.admin.json('POST', `/v1/federation/${PARTNER}/refresh`);
    },
    fix: 'ask the operator of the partner whether that is meant. If its endpoint has authorities again, and is of `https_spiffe`, set its present bundle: `sidekey bundle set DOMAIN --file BUNDLE`; with `https_web` the next poll takes them',
  },
  {
    symptom: 'Workloads in containers get no identity',
    words:
      '`… 14, the docker attestor failed: the container engine at … fails: ENOENT, there is no such socket (decision d-…)`',
    cause: 'the container engine does not answer',
    own: ({ engine }) => ({ dockerSocket: engine.socketPath }),
    rule: 'attestor-docker',
    break: ({ engine }) => engine.stop(),
    standIn: { program: 'systemctl', does: ({ engine }) => engine.start() },
    fix: 'systemctl start docker',
  },
  {
    symptom: 'Peers refuse certificates that are not valid yet',
    words: '`CERTIFICATE_VERIFY_FAILED: certificate is not yet valid`',
    cause: 'the clock was set back to before the last issuance',
    own: () => ({}),
    rule: 'clock-set-back',
    break: async (stage) => {
      const { clock } = stage;
      clock.advance(HOURS);
      await entry(stage, 'spiffe://ilinux.io/clock', [MINE]);
      await stage.connect().fetch({ resourceNames: ['spiffe://ilinux.io/clock'] });
      clock.set(clock.now() - HOURS);
    },
    standIn: { program: 'timedatectl', does: ({ clock }) => clock.set(clock.now() + HOURS) },
    fix: 'timedatectl set-ntp true',
  },
];

const RESTARTED: readonly Omit<RestartCase, 'by'>[] = [
  {
    symptom: 'New clients can not connect, while connected clients stay connected',
    words: pipeError('No_such_file_or_directory'),
    cause: "something removed the socket's file while the server runs",
    flags: [],
    rule: 'pipe-gone',
    break: ({ socket }) => rmSync(socket),
    fix: 'kill PID; while kill -0 PID 2>/dev/null; do sleep 0.1; done; cd / && sidekey serve …',
    note: 'a server that systemd runs: `systemctl restart UNIT`',
  },
  {
    symptom: 'New clients can not connect, although there is a socket at the path of the pipe',
    words: pipeError('Connection_refused'),
    cause: 'the socket of an older server replaced this one, for example when a directory was restored',
    flags: [],
    rule: 'pipe-gone',
    break: async ({ socket }) => {
      rmSync(socket);
      await leaveSocket(socket);
    },
    fix: 'kill PID; while kill -0 PID 2>/dev/null; do sleep 0.1; done; cd / && sidekey serve …',
  },
  {
    symptom: 'New clients can not connect, and there is a file at the path of the pipe',
    words: pipeError('Connection_refused'),
    cause: 'something wrote a file to the path of the pipe',
    flags: [],
    rule: 'pipe-gone',
    break: ({ socket }) => {
      rmSync(socket);
      writeFileSync(socket, '');
    },
    fix: 'rm SOCKET && kill PID; while kill -0 PID 2>/dev/null; do sleep 0.1; done; cd / && sidekey serve …',
  },
  {
    symptom: 'Some Envoys of a host are refused',
    words: '`… reset reason: connection termination`; Sidekey logs `connections are refused`',
    cause: 'a user or container has reached its limit of connections',
    flags: ['--max-connections-per-uid', '1'],
    rule: 'limit',
    break: async (server, t) => {
      const client = new SdsClient(server.socket);
      t.after(() => client.close());
      const { body } = await server.request('POST', '/v1/entries', { spiffe_id: LIMITED, selectors: [MINE] });
      if (body.id === undefined) throw new Error(JSON.stringify(body));
      const stream = client.stream();
      stream.ask(LIMITED);
      await stream.next();
    },
    fix: 'kill PID; while kill -0 PID 2>/dev/null; do sleep 0.1; done; cd / && sidekey serve … --max-connections-per-uid 2',
    note: 'do this if the use is intended; otherwise end the processes that cause it. If systemd runs the server, change the flags in its unit',
  },
];

const SILENT: readonly Omit<SilenceCase, 'by'>[] = [
  {
    symptom: 'Every Envoy of the host waits, and sidekey says that this socket does not exist',
    words: pipeError('No_such_file_or_directory'),
    cause: 'no server runs',
    rule: 'no-server',
    break: (server) => server.stop(),
    fix: 'sidekey serve --admin-socket ADMIN_SOCKET',
    note: 'this works if the settings are in the environment or in the file of `SIDEKEY_CONFIG`; otherwise add them as flags',
  },
  {
    symptom: 'Every Envoy of the host waits, and sidekey says that no process listens on the socket',
    words: pipeError('Connection_refused'),
    cause: 'the server was killed, and left its sockets behind',
    rule: 'stale-socket',
    break: (server) => server.stop('SIGKILL'),
    fix: 'sidekey serve --admin-socket ADMIN_SOCKET',
    note: 'it replaces a socket on which no process listens',
  },
  {
    symptom: 'Sidekey does not start: a file is at the path of its socket',
    words: '`something that is not a socket is in the way` (Sidekey)',
    cause: 'there is a file at the path of the admin socket',
    rule: 'not-a-socket',
    break: async (server) => {
      await server.stop();
      writeFileSync(server.adminSocket, '');
    },
    fix: 'rm ADMIN_SOCKET && sidekey serve --admin-socket ADMIN_SOCKET',
  },
];

const LINTED: readonly Omit<LintCase, 'by'>[] = [
  {
    symptom: 'An Envoy never reaches Sidekey: its SDS cluster has another name',
    words: '`14, Cluster not available`',
    cause: 'cluster_name names no cluster of the bootstrap',
    rule: 'sds-cluster',
    change: ['cluster_name: sidekey\n', 'cluster_name: sidekye\n'],
    fix: "sed -i 'LINEs|cluster_name: sidekye|cluster_name: sidekey|' envoy.yaml",
  },
  {
    symptom: 'An Envoy connects, and every stream is cut at once',
    words: '`14, upstream connect error or disconnect/reset before headers. reset reason: protocol error`',
    cause: 'the SDS cluster has no HTTP/2 options',
    rule: 'sds-http2',
    change: [/http2_protocol_options:\n( +connection_keepalive: .*\n)?/, 'http_protocol_options: {}\n'],
    fix: "sed -i 'LINEs|http_protocol_options: {}|http2_protocol_options: {}|' envoy.yaml",
  },
  {
    symptom: 'An Envoy asks the admin API for secrets',
    words: '`… reset reason: connection termination`',
    cause: 'the pipe of the SDS cluster is the admin socket',
    rule: 'sds-pipe',
    change: ['agent.sock', 'admin.sock'],
    fix: "sed -i 'LINEs|path: /run/sidekey/admin\\.sock|path: /run/sidekey/agent.sock|' envoy.yaml",
  },
  {
    symptom: 'An Envoy reconnects only half a minute after a restart of Sidekey',
    cause: "there is no retry_back_off, and Envoy's default waits up to 30 s",
    rule: 'retry-back-off',
    change: [/ +retry_policy: .*\n/, ''],
    fix: "sed -i 'LINEs|… retry_policy: …|' envoy.yaml",
    note: 'the command adds the line that `sidekey envoy bootstrap` writes',
  },
  {
    symptom: 'A bootstrap that is not v3',
    words: '`… transport_api_version …` or nothing',
    cause: 'transport_api_version is not V3',
    rule: 'api-version',
    change: ['transport_api_version: V3', 'transport_api_version: V2'],
    fix: "sed -i 'LINEs|transport_api_version: V2|transport_api_version: V3|' envoy.yaml",
  },
  {
    symptom: 'An Envoy asks a socket that is not there',
    words: pipeError('No_such_file_or_directory'),
    cause: "the path of the pipe in the bootstrap does not exist on this host, and the server's pipe is elsewhere",
    rule: 'sds-pipe',
    change: [/path: \S+agent\.sock/, 'path: /nowhere/agent.sock'],
    server: {},
    fix: "sed -i 'LINEs|path: /nowhere/agent\\.sock|path: SOCKET|' envoy.yaml",
    note: 'a warning only: the bootstrap may be for a container or another host',
  },
  {
    symptom: 'An Envoy asks the Sidekey of another user, which gives it nothing',
    cause: 'two servers run on the host, and the bootstrap names the pipe of the other one',
    rule: 'sds-pipe',
    server: {
      break: async (stage, t, file) => {
        const other = path.join(stage.directory, 'other.sock');
        const listening = createServer().listen(other);
        t.after(() => listening.close());
        await once(listening, 'listening');
        writeFileSync(file, readFileSync(file, 'utf8').replace(stage.socket, other));
      },
    },
    fix: "sed -i 'LINEs|path: DIRECTORY/other\\.sock|path: SOCKET|' envoy.yaml",
    note: 'a warning only: the other server may be meant',
  },
  {
    symptom: 'A new Envoy will get no certificate',
    words: HELD,
    cause: 'no entry gives the SPIFFE ID of its bootstrap',
    rule: 'no-entry',
    server: {
      break: (stage) => removeWeb(stage),
      says: /^make an entry with the user and the program of this Envoy: .* --selector unix:user:USER --selector unix:path:PATH; /,
      byHand: (stage) => entry(stage, 'spiffe://ilinux.io/web', [MINE]),
    },
    fix: 'start the Envoy, and let `sidekey explain --pid PID --spiffe-id ID` print the command; or run the printed `sidekey entry create` with USER and PATH replaced by the user and path of the Envoy (the placeholders are refused)',
  },
  {
    symptom: 'An Envoy waits although doctor finds an entry for each name of its bootstrap',
    words: HELD,
    cause: 'the entry does not match this Envoy',
    rule: 'held',
    server: {
      break: async (stage, t) => {
        await change(stage, 'web', { selectors: ['unix:uid:4000000', MY_PATH] });
        await waitFor(stage, 'spiffe://ilinux.io/web', t, 'web');
      },
      says: /^sidekey explain --pid \d+ --spiffe-id spiffe:\/\/ilinux\.io\/web says what it lacks$/,
      byHand: (stage) => change(stage, 'web', { selectors: [MINE] }),
    },
    fix: 'see what it lacks (`sidekey explain --pid PID --spiffe-id ID`), and correct the entry: `sidekey entry update ENTRY --selector …`',
    note: 'doctor knows the Envoy by its node id',
  },
  {
    symptom: 'An Envoy asks for a SPIFFE ID of another trust domain',
    words: HELD,
    cause: 'a server issues for its own trust domain only',
    rule: 'foreign-id',
    change: ['name: spiffe://ilinux.io/web\n', 'name: spiffe://other.example/web\n'],
    server: {
      says: /^ask for a SPIFFE ID of ilinux\.io, or let the SDS cluster lead to the server of other\.example$/,
      byHand: (_, file) => edit(file, 'other.example', 'ilinux.io'),
    },
    fix: 'ask for a SPIFFE ID of the trust domain of the server, or let the SDS cluster lead to the server of the other one',
    note: '`sidekey explain` says the same of a process, and proposes no entry: it would be refused',
  },
  {
    symptom: 'Every peer of another trust domain is refused',
    words: '`CERTIFICATE_VERIFY_FAILED`',
    cause: 'the bootstrap accepts a peer of another trust domain, and asks for the authorities of its own one only',
    rule: 'san-foreign',
    change: [/(exact|prefix): spiffe:\/\/ilinux\.io/, '$1: spiffe://other.example'],
    server: {
      says: /name: ALL, … \}, and an entry of this Envoy that federates with other\.example$/,
      byHand: (_, file) => edit(file, '//other.example', '//ilinux.io'),
    },
    fix: 'ask for the validation context ALL, let an entry of the Envoy federate with the other trust domain, and set the bundle of that: `sidekey bundle set DOMAIN --file BUNDLE`',
  },
  {
    symptom: 'Clients without a certificate may be accepted',
    cause: 'require_client_certificate is not true',
    rule: 'client-certificate',
    change: ['require_client_certificate: true', 'require_client_certificate: false'],
    fix: "sed -i 'LINEs|require_client_certificate: false|require_client_certificate: true|' envoy.yaml",
  },
];

async function removeWeb(stage: Stage): Promise<void> {
  for (const { id } of await entriesOf(stage, 'web')) await stage.admin.text('DELETE', `/v1/entries/${id}`);
}

function edit(file: string, from: string, to: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}

/** A socket file that nobody listens on. */
async function leaveSocket(file: string): Promise<void> {
  const listen = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  await once(spawn(process.execPath, ['-e', listen, file]), 'exit');
}

export const CASES: readonly Case[] = [
  ...EXPLAINED.map((one): Case => ({ ...one, by: 'explain' })),
  ...LOST.map((one): Case => ({ ...one, by: 'check' })),
  ...[...FOUND, ...AUTHORITY_CASES].map((one): Case => ({ ...one, by: 'doctor' })),
  ...RESTARTED.map((one): Case => ({ ...one, by: 'restart' })),
  ...SILENT.map((one): Case => ({ ...one, by: 'silence' })),
  ...LINTED.map((one): Case => ({ ...one, by: 'lint' })),
  ...ENVOY_CASES.map((one): Case => ({ ...one, by: 'envoy' })),
  ...COMMANDS.map((one): Case => ({ ...one, by: 'command' })),
];
