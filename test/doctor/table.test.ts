/** Set-ups that are broken for real: each is found, first of all that is found, and mended by what the finding says. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { DoctorJson, ExplanationJson } from '../../src/admin/client.ts';
import type { Finding } from '../../src/base/finding.ts';
import { explanationLines } from '../../src/cli/explain-text.ts';
import { runChecks } from '../../src/doctor/check.ts';
import { envoyFileCheck } from '../../src/doctor/envoy-file.ts';
import { serverChecks, silenceCheck } from '../../src/doctor/server.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { makePlace, ROOT, serve } from '../support/serve.ts';
import type { Case, DoctorCase, Own, SilenceCase, Stage } from './case.ts';
import { CASES } from './cases.ts';
import { DOCUMENT, render } from './document.ts';

async function startStage(t: TestContext, own: Own = {}): Promise<Stage> {
  const inner = await startInnerServer(t, own.flags);
  const { admin, adminSocket, clock } = inner;
  return {
    ...inner,
    directory: path.dirname(adminSocket),
    findings: async () => {
      const known = await admin.json<DoctorJson>('GET', '/v1/doctor');
      return [...(await runChecks(serverChecks(known, clock.now(), true))).findings];
    },
    explain: (spiffeId) => {
      const asked = spiffeId === undefined ? '' : `&spiffe_id=${spiffeId}`;
      return admin.json<ExplanationJson>('GET', `/v1/explain?pid=${process.pid}${asked}`);
    },
    run: (command) => run(command, { SIDEKEY_ADMIN_SOCKET: adminSocket }),
  };
}

async function run(command: string, env: Record<string, string> = {}): Promise<void> {
  const places = `${path.join(ROOT, 'bin')}:${process.env.PATH}`;
  const child = spawn('/bin/sh', ['-c', command], { env: { ...process.env, ...env, PATH: places } });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, 0, `${command}: ${said}`);
}

/** The command that a fix begins with. */
function commandOf({ fix }: Finding): string {
  return fix.split(';')[0]!;
}

const keyOf = ({ rule, place, problem }: Finding) => `${rule} ${place} ${problem}`;

async function checkDoctorCase(t: TestContext, stage: Stage, own: Own, one: DoctorCase): Promise<void> {
  const before = new Set(own.mend === undefined ? (await stage.findings()).map(keyOf) : []);
  const mend = await one.break(stage, t);
  const fresh = async () => (await stage.findings()).filter((finding) => !before.has(keyOf(finding)));
  const [first] = await fresh();
  assert.equal(first?.rule, one.rule, JSON.stringify(first));
  if (typeof mend === 'function') await mend();
  else if (own.mend !== undefined) await own.mend();
  else await stage.run(commandOf(first!));
  assert.deepEqual(
    (await fresh()).filter(({ rule }) => rule === one.rule),
    [],
  );
}

async function checkSilenceCase(t: TestContext, one: SilenceCase): Promise<void> {
  const place = makePlace(t);
  const server = await serve(t, { place });
  const look = async () => (await runChecks([silenceCheck(place.adminSocket)])).findings;
  assert.deepEqual(await look(), []);
  await one.break(server);
  const [first] = await look();
  assert.equal(first?.rule, one.rule);
  const command = first!.fix.split(',')[0]!;
  if (command.startsWith('rm ')) await run(command);
  await serve(t, { place });
  assert.deepEqual(await look(), []);
}

const casesBy = <By extends Case['by']>(by: By) =>
  CASES.filter((one): one is Extract<Case, { by: By }> => one.by === by);

describe('broken set-ups', { timeout: 120_000, concurrency: true }, () => {
  it('by explain', async (t) => {
    const stage = await startStage(t);
    for (const one of casesBy('explain')) {
      await t.test(one.symptom, async (t) => {
        const spiffeId = `spiffe://ilinux.io/${one.name}`;
        await one.break(stage, spiffeId, t);
        const explanation = await stage.explain(spiffeId);
        assert.equal(explanation.asked!.given, false);
        assert.match(explanationLines(explanation).join('\n'), one.says);
        await stage.run(explanation.fixes[one.which ?? 0]!);
        assert.equal((await stage.explain(spiffeId)).asked!.given, true);
      });
    }
  });

  it('by doctor', async (t) => {
    const shared = await startStage(t);
    for (const one of casesBy('doctor')) {
      await t.test(one.symptom, async (t) => {
        const own = one.own?.(t);
        const stage = own === undefined ? shared : await startStage(t, own);
        await checkDoctorCase(t, stage, own ?? {}, one);
      });
    }
  });

  it('by doctor, when no server answers', async (t) => {
    for (const one of casesBy('silence')) await t.test(one.symptom, (t) => checkSilenceCase(t, one));
  });

  it('by doctor --envoy', async (t) => {
    const file = path.join(makePlace(t).directory, 'envoy.yaml');
    const flags = '--spiffe-id spiffe://ilinux.io/web --listen 127.0.0.1:1 --to 127.0.0.1:2';
    await run(`sidekey envoy bootstrap ${flags} > ${file}`);
    const good = readFileSync(file, 'utf8');
    const lint = async (text: string) =>
      (await runChecks([envoyFileCheck(file, text, async () => ({ unknown: 'no server here' }))])).findings;
    assert.deepEqual(await lint(good), []);
    for (const one of casesBy('lint')) {
      await t.test(one.symptom, async () => {
        const broken = good.replace(...one.change);
        assert.notEqual(broken, good);
        const [first] = await lint(broken);
        assert.equal(first?.rule, one.rule, JSON.stringify(first));
      });
    }
  });
});

it('the document is made of the cases (scripts/node test/doctor/document.ts --write)', () => {
  assert.equal(readFileSync(DOCUMENT, 'utf8'), render());
});
