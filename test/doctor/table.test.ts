/** Set-ups that are broken for real: each is found, first of all that is found, and mended by the command that is given. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import type { DoctorJson } from '../../src/admin/doctor-schema.ts';
import type { ExplanationJson } from '../../src/admin/explain-schema.ts';
import { probeKernel } from '../../src/attest/kernel.ts';
import { findListener } from '../../src/attest/socket-listener.ts';
import { SystemClock } from '../../src/base/clock.ts';
import type { Finding } from '../../src/base/finding.ts';
import { listChecks, serverView } from '../../src/cli/doctor-checks.ts';
import { explanationLines } from '../../src/cli/explain-text.ts';
import { connectAdmin } from '../../src/client/client.ts';
import { runChecks } from '../../src/doctor/check.ts';
import { serverChecks, silenceCheck } from '../../src/doctor/checks.ts';
import { envoyAdminCheck } from '../../src/doctor/envoy-check.ts';
import { envoyFileCheck } from '../../src/doctor/envoy-file.ts';
import type { EntryJson } from '../../src/registry/entry-fields.ts';
import { sidekey } from '../cli/support.ts';
import { assertValid } from '../envoy/support.ts';
import { whyNoCgroup } from '../support/cgroup.ts';
import { TestClock } from '../support/clock.ts';
import { envoyForTests } from '../support/envoy.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { makePlace, type Place, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { StandInEngine } from '../support/stand-in-engine.ts';

import type {
  Case,
  CheckCase,
  CommandCase,
  DoctorCase,
  EnvoyCase,
  ExplainCase,
  LintCase,
  RestartCase,
  SilenceCase,
  Stage,
} from './case.ts';

import { CASES } from './cases.ts';
import { plain, run, runAny, runServing, standIn } from './commands.ts';
import { DOCUMENT, render } from './document.ts';

async function startStage(t: TestContext, own?: DoctorCase['own'], startClock?: TestClock): Promise<Stage> {
  const engine = new StandInEngine(t);
  await engine.start();
  const inner = await startInnerServer(t, await own?.({ engine }), startClock);
  const { admin, socket, adminSocket, clock } = inner;
  return {
    ...inner,
    engine,
    directory: path.dirname(socket),
    findings: async () => {
      const known = await admin.json<DoctorJson>('GET', '/v1/doctor');
      const checks = [...serverChecks(known, clock.now(), { adminSocket, findListener }), ...listChecks(admin, known)];
      return [...(await runChecks(checks)).findings];
    },
    explain: (spiffeId, pid = process.pid) =>
      admin.json<ExplanationJson>('GET', `/v1/explain?pid=${pid}&spiffe_id=${spiffeId}`),
  };
}

/** The document has what root is told: whoever else asks is told a little less, as only root is too many to be somebody. */
function assertDocumented({ fix }: Case, command: string, places: Readonly<Record<string, string>> = {}): void {
  if (process.getuid!() === 0) assert.equal(plain(command, places), fix);
}

const keyOf = ({ rule, place, problem }: Finding) => `${rule} ${place} ${problem}`;

async function checkDoctorCase(t: TestContext, stage: Stage, one: DoctorCase): Promise<void> {
  const before = new Set((await stage.findings()).map(keyOf));
  await one.break(stage, t);
  const fresh = async () => (await stage.findings()).filter((finding) => !before.has(keyOf(finding)));
  const [first] = await fresh();
  assert.equal(first?.rule, one.rule, JSON.stringify(first));
  if (one.byHand !== undefined) {
    assert.equal(first.command, undefined);
    await one.byHand(stage, t);
  } else {
    await mendByCommand(t, stage, one, first);
  }
  await one.after?.(stage);
  const left = (await fresh()).filter(({ rule }) => rule === one.rule);
  assert.deepEqual(left, []);
}

async function mendByCommand(t: TestContext, stage: Stage, one: DoctorCase, first: Finding): Promise<void> {
  const { socket, adminSocket, dataDir, directory } = stage;
  const { command } = first;
  assert.ok(command !== undefined, 'there is a command');
  const sockets = { [socket]: 'SOCKET', [adminSocket]: 'ADMIN_SOCKET' };
  assertDocumented(one, command, { ...sockets, [dataDir]: 'DATA_DIR', [directory]: 'DIRECTORY' });
  const instead = one.standIn === undefined ? undefined : standIn(t, one.standIn.program);
  await run(command, { SIDEKEY_ADMIN_SOCKET: adminSocket }, instead?.directory);
  if (instead?.wasRun() === true) await one.standIn!.does(stage, t);
}

async function checkExplainCase(t: TestContext, stage: Stage, one: ExplainCase): Promise<void> {
  const spiffeId = `spiffe://ilinux.io/${one.name}`;
  const pid = await one.break(stage, spiffeId, t);
  const entries = async () => (await stage.admin.json<{ entries: EntryJson[] }>('GET', '/v1/entries')).entries;
  const before = await entries();
  const explain = (of: unknown = pid) => stage.explain(spiffeId, typeof of === 'number' ? of : process.pid);
  const explanation = await explain();
  if (one.unreachable === true) {
    assert.deepEqual([explanation.asked!.given, explanation.process!.reach.verdict], [true, 'no']);
    assert.match(explanationLines(explanation).join('\n'), one.says);
    const { reach } = (await explain(await one.byHand!(stage, spiffeId, t))).process!;
    assert.equal(reach.verdict, 'yes', reach.detail);
    return;
  }
  assert.equal(explanation.asked!.given, false);
  assert.match(explanationLines(explanation).join('\n'), one.says);
  if (one.byHand !== undefined) {
    assert.deepEqual(explanation.fixes, []);
    await one.byHand(stage, spiffeId, t);
  } else {
    const [command] = explanation.fixes;
    assertDocumented(one, command!, { [spiffeId]: 'ID' });
    await run(command!, { SIDEKEY_ADMIN_SOCKET: stage.adminSocket });
    const after = new Map((await entries()).map((entry) => [entry.id, entry]));
    for (const { id, selectors } of before) assert.deepEqual(after.get(id)?.selectors, selectors, 'nobody loses it');
  }
  assert.equal((await explain()).asked!.given, true);
}

async function checkCheckCase(t: TestContext, one: CheckCase): Promise<void> {
  const stage = await startStage(t);
  const check = () =>
    sidekey(['proxies', '--check', '-o', 'wide'], { env: { SIDEKEY_ADMIN_SOCKET: stage.adminSocket } });
  await one.break(stage, t);
  const { stdout } = await wait('status 1', { look: check, until: ({ status }) => status === 1 });
  assert.match(stdout, one.says);
  await one.byHand(stage);
  await wait('status 0', { look: check, until: ({ status }) => status === 0 });
}

async function checkEnvoyCase(t: TestContext, binary: string, one: EnvoyCase): Promise<void> {
  // An Envoy checks certificates by the real time.
  const stage = await startStage(t, undefined, new TestClock(Date.now()));
  const look = async (url: string) => {
    const lookup = (node: string) => serverView(stage.admin, node);
    return (await runChecks([envoyAdminCheck(url, lookup, new SystemClock())])).findings;
  };
  const broken = await one.set(stage, binary, t);
  const until = ([first]: readonly Finding[]) => first?.rule === one.rule;
  const [first] = await wait(`[${one.rule}]`, { look: () => look(broken.url), until });
  assert.match(first!.problem, one.says);
  const mended = await broken.byHand();
  await wait('nothing to be found', { look: () => look(mended.url), until: ({ length }) => length === 0 });
}

async function checkRestartCase(t: TestContext, one: RestartCase): Promise<void> {
  const server = await serve(t, { flags: one.flags });
  await one.break(server, t);
  const admin = connectAdmin({ socketPath: server.adminSocket });
  const findings = async () => {
    const known = await admin.json<DoctorJson>('GET', '/v1/doctor');
    return (
      await runChecks(serverChecks(known, new SystemClock().now(), { adminSocket: server.adminSocket, findListener }))
    ).findings;
  };
  const [first] = await findings();
  assert.equal(first?.rule, one.rule, JSON.stringify(first));
  assertDocumented(one, first.command!, { [server.socket]: 'SOCKET' });
  await runServing(t, first.command!);
  assert.ok(!(await findings()).some(({ rule }) => rule === one.rule));
}

/** Settings of `serve` as they stand in the environment of a service. */
function settings({ dataDir, socket }: Place): Record<string, string> {
  return { SIDEKEY_TRUST_DOMAIN: TRUST_DOMAIN, SIDEKEY_DATA_DIR: dataDir, SIDEKEY_SOCKET: socket };
}

async function checkSilenceCase(t: TestContext, one: SilenceCase): Promise<void> {
  const place = makePlace(t);
  const server = await serve(t, { place });
  const env = settings(place);
  const look = async () => (await runChecks([silenceCheck(place.adminSocket, env)])).findings;
  assert.deepEqual(await look(), []);
  await one.break(server);
  const [first] = await look();
  assert.equal(first?.rule, one.rule);
  assertDocumented(one, first.command!, { [place.adminSocket]: 'ADMIN_SOCKET' });
  await runServing(t, first.command!, env);
  assert.deepEqual(await look(), []);
}

async function checkCommandCase(t: TestContext, stage: Stage, one: CommandCase): Promise<void> {
  await one.break?.(stage);
  const { directory } = makePlace(t);
  const file = path.join(directory, 'FILE');
  if (one.content !== undefined) writeFileSync(file, one.content);
  // A server that is checked has an admin socket of its own.
  const admin = one.command.startsWith('sidekey serve') ? {} : { SIDEKEY_ADMIN_SOCKET: stage.adminSocket };
  const env = { ...admin, ...(probeKernel().pinsPeers ? {} : UNPINNED) };
  const filled = (command: string) => command.replaceAll('FOLDER', directory).replaceAll('FILE', file);
  const broken = await runAny(filled(one.command), env);
  assert.equal(broken.status, one.status, broken.err);
  assert.match(broken.err, one.says);
  const mended = await runAny(filled(one.fix), env);
  assert.deepEqual([mended.status, mended.err], [0, '']);
}

async function checkLintCase(t: TestContext, one: LintCase): Promise<void> {
  const stage = await startStage(t);
  await stage.create('spiffe://ilinux.io/web');
  const env = { SIDEKEY_ADMIN_SOCKET: stage.adminSocket };
  const file = path.join(makePlace(t).directory, 'envoy.yaml');
  const flags = '--spiffe-id spiffe://ilinux.io/web --listen 127.0.0.1:1 --to 127.0.0.1:2';
  await run(`sidekey envoy bootstrap ${flags} --socket ${stage.socket} > ${file}`);
  const look = async () => {
    const { stdout } = await sidekey(['doctor', '--envoy', file, '--output', 'json'], { env });
    return (JSON.parse(stdout) as { findings: Finding[] }).findings;
  };
  assert.deepEqual(await look(), []);
  if (one.change !== undefined) writeFileSync(file, readFileSync(file, 'utf8').replace(...one.change));
  const { server = {} } = one;
  await server.break?.(stage, t, file);
  const [first] = await look();
  assert.equal(first?.rule, one.rule, JSON.stringify(first));
  if (server.says !== undefined) assert.match(first.fix, server.says);
  if (server.byHand === undefined) {
    assertDocumented(one, first.command!, {
      [file]: 'envoy.yaml',
      [stage.socket]: 'SOCKET',
      [stage.directory]: 'DIRECTORY',
    });
    await run(first.command!, env);
  } else {
    assert.equal(first.command, undefined);
    await server.byHand(stage, file);
  }
  await wait('nothing to be found', { look, until: ({ length }) => length === 0 });
}

const UNPINNED = { SIDEKEY_ALLOW_UNPINNED_PEERS: 'true' };

const casesBy = <By extends Case['by']>(by: By) =>
  CASES.filter((one): one is Extract<Case, { by: By }> => one.by === by);

const needsRoot = process.getuid!() === 0 ? false : 'only root can start processes of other users';
const found = await envoyForTests();

describe('broken set-ups', { timeout: 280_000, concurrency: true }, () => {
  it('by explain', async (t) => {
    const shared = await startStage(t);
    for (const one of casesBy('explain')) {
      const noCgroup = one.own === undefined ? false : (whyNoCgroup() ?? false);
      const skip = one.unreachable === true ? needsRoot : noCgroup;
      await t.test(one.symptom, { skip }, async (t) => {
        await checkExplainCase(t, one.own === undefined ? shared : await startStage(t, one.own), one);
      });
    }
  });

  it('by proxies --check', async (t) => {
    for (const one of casesBy('check')) await t.test(one.symptom, (t) => checkCheckCase(t, one));
  });

  it('by doctor', async (t) => {
    const shared = await startStage(t);
    for (const one of casesBy('doctor')) {
      await t.test(one.symptom, { skip: one.needsRoot === true && needsRoot }, async (t) => {
        await checkDoctorCase(t, one.own === undefined ? shared : await startStage(t, one.own), one);
      });
    }
  });

  it('by doctor, where the server is to be started anew', async (t) => {
    for (const one of casesBy('restart')) await t.test(one.symptom, (t) => checkRestartCase(t, one));
  });

  it('by doctor, when no server answers', async (t) => {
    for (const one of casesBy('silence')) await t.test(one.symptom, (t) => checkSilenceCase(t, one));
  });

  it('by doctor --envoy-admin', { skip: found.skip }, async (t) => {
    assert.ok(found.skip === false);
    for (const one of casesBy('envoy')) {
      const skip = one.needsRoot === true && needsRoot;
      await t.test(one.symptom, { skip }, (t) => checkEnvoyCase(t, found.envoy.path, one));
    }
  });

  it('by the command itself', async (t) => {
    const shared = await startStage(t);
    for (const one of casesBy('command')) await t.test(one.symptom, (t) => checkCommandCase(t, shared, one));
  });

  it('by doctor --envoy', async (t) => {
    const file = path.join(makePlace(t).directory, 'envoy.yaml');
    const flags = '--spiffe-id spiffe://ilinux.io/web --listen 127.0.0.1:1 --to 127.0.0.1:2';
    await run(`sidekey envoy bootstrap ${flags} --socket /run/sidekey/agent.sock > ${file}`);
    const good = readFileSync(file, 'utf8');
    const lint = async () => {
      const text = readFileSync(file, 'utf8');
      return (await runChecks([envoyFileCheck(file, text, async () => ({ unknown: 'no server here' }))])).findings;
    };
    assert.deepEqual(await lint(), []);
    for (const one of casesBy('lint')) {
      if (one.server !== undefined) continue;
      await t.test(one.symptom, async (t) => {
        const broken = good.replace(...one.change!);
        assert.notEqual(broken, good);
        writeFileSync(file, broken);
        const [first] = await lint();
        assert.equal(first?.rule, one.rule, JSON.stringify(first));
        assertDocumented(one, first.command!, { [file]: 'envoy.yaml' });
        await run(first.command!);
        assert.deepEqual(await lint(), []);
        if (found.skip === false) await assertValid(t, found.envoy.path, readFileSync(file, 'utf8'));
        else t.diagnostic(`not shown to an Envoy: ${found.skip}`);
      });
    }
  });
});

describe('broken set-ups of a bootstrap, compared with a server', { timeout: 280_000 }, () => {
  for (const one of casesBy('lint')) {
    if (one.server !== undefined) it(one.symptom, (t) => checkLintCase(t, one));
  }
});

it('the document is made of the cases (scripts/node test/doctor/document.ts --write)', () => {
  assert.equal(readFileSync(DOCUMENT, 'utf8'), render());
});
