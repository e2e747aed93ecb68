/** The alert rules and the dashboard, with promtool and a real Prometheus that scrapes a real server. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { FAMILIES } from '../../src/metrics/families.ts';
import { call } from '../admin/support.ts';
import { startPrometheus, whyNoPrometheus } from '../support/prometheus.ts';
import { run } from '../support/run.ts';
import { ROOT } from '../support/serve.ts';
import { startScene } from './scene.ts';

const FOLDER = path.join(ROOT, 'monitoring');
const RULES = path.join(FOLDER, 'alerts.yaml');
const skip = whyNoPrometheus();

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
const dashboard = JSON.parse(readFileSync(path.join(FOLDER, 'grafana-dashboard.json'), 'utf8'));
const panels: readonly Panel[] = dashboard.panels;
const queries = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));
const rules: readonly { alert: string; expr: string }[] = parse(readFileSync(RULES, 'utf8')).groups[0].rules;

/** Names of metrics in an expression, without the suffixes of histograms. */
function metricsIn(expression: string): string[] {
  return [...expression.matchAll(/\b(?:sidekey|process)_\w+/g)].map(([name]) =>
    name.replace(/_(bucket|count|sum)$/, ''),
  );
}

describe('monitoring/', () => {
  for (const { title, expr } of queries) {
    test(`the dashboard's query of ${title} asks for metrics that exist: ${expr}`, () => {
      const names = metricsIn(expr);
      assert.ok(names.length > 0);
      for (const name of names) assert.ok(name in FAMILIES, name);
    });
  }

  test('each alert asks for metrics that exist', () => {
    for (const { alert, expr } of rules) {
      for (const name of metricsIn(expr)) assert.ok(name in FAMILIES, `${alert}: ${name}`);
    }
  });

  test('each metric is on the dashboard, in an alert, or has its reason not to be', () => {
    const used = new Set([...queries, ...rules].flatMap(({ expr }) => metricsIn(expr)));
    const unused = Object.keys(FAMILIES).filter((name) => !used.has(name));
    assert.deepEqual(unused.sort(), NOT_SHOWN.toSorted());
  });

  test('the ids and places of the panels are their own', () => {
    const ids = dashboard.panels.map(({ id }: { id: number }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const cells = new Set<string>();
    for (const { gridPos: at, title } of dashboard.panels) {
      assert.ok(at.x + at.w <= 24, title);
      for (let x = at.x; x < at.x + at.w; x += 1) {
        for (let y = at.y; y < at.y + at.h; y += 1) {
          assert.ok(!cells.has(`${x},${y}`), `${title} covers another panel`);
          cells.add(`${x},${y}`);
        }
      }
    }
  });
});

/** Details of others that are shown, constants, or of agents, whose Unix socket Prometheus cannot scrape. */
const NOT_SHOWN = [
  'process_start_time_seconds',
  'sidekey_agent_attestations_total',
  'sidekey_agent_connections_refused_total',
  'sidekey_agent_denials_total',
  'sidekey_agent_svids_total',
  'sidekey_agents',
  'sidekey_agents_attached',
  'sidekey_agents_waiting',
  'sidekey_uplink_connected',
  'sidekey_uplink_svid_expiry_timestamp_seconds',
  'sidekey_bundle_sequence_number',
  'sidekey_bundle_endpoint_certificate_expiry_timestamp_seconds',
  'sidekey_bundle_endpoint_requests_total',
  'sidekey_federation_fetches_total',
  'sidekey_federation_most_failures',
  'sidekey_federation_oldest_fetch_timestamp_seconds',
  'sidekey_published_bundle_sequence_number',
  'sidekey_published_file_writes_total',
  'sidekey_revocation_lists',
  'sidekey_revocations',
  'sidekey_callers_without_identity_total',
  'sidekey_callers_memory_limit_bytes',
  'sidekey_connections_without_descriptors_total',
  'sidekey_heap_limit_bytes',
  'sidekey_jwt_svid_issuance_duration_seconds',
  'sidekey_jwt_svids_total',
  'sidekey_memory_refused_total',
  'sidekey_memory_shed_total',
  'sidekey_names_refused_total',
  'sidekey_requests_invalid_total',
  'sidekey_requests_refused_total',
  'sidekey_rotation_start_timestamp_seconds',
  'sidekey_streams_refused_total',
  'sidekey_streams_unattested_total',
];

describe('promtool', { skip, timeout: 60_000 }, () => {
  test('accepts the alert rules, and their unit tests pass', async () => {
    for (const args of [
      ['check', 'rules', RULES],
      ['test', 'rules', path.join(FOLDER, 'alerts.test.yaml')],
    ]) {
      const { status, stdout, stderr } = await run(['promtool', ...args]);
      assert.equal(status, 0, `${stdout}${stderr}`);
    }
  });

  test('each alert has a unit test in which it fires, and one in which it does not', () => {
    const tests = parse(readFileSync(path.join(FOLDER, 'alerts.test.yaml'), 'utf8')).tests;
    for (const { alert } of rules) {
      const outcomes = tests
        .flatMap((one: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }) => one.alert_rule_test)
        .filter(({ alertname }: { alertname: string }) => alertname === alert)
        .map(({ exp_alerts }: { exp_alerts: unknown[] }) => exp_alerts.length);
      assert.deepEqual(outcomes.sort(), [0, 1], alert);
    }
  });
});

describe('a Prometheus that scrapes a server', { skip, timeout: 180_000 }, () => {
  test('takes the metrics, answers every query of the dashboard, and evaluates every alert', async (t) => {
    const scene = await startScene(t, ['--root-publish-time', '1h']);
    // So that a root is published, and its times are there.
    assert.equal((await scene.server.request('POST', '/v1/ca/rotate', { role: 'root' })).status, 200);
    const prometheus = await startPrometheus(t, { port: scene.port, token: scene.token, rules: [RULES] });
    const scrapes = 'count_over_time(up{job="sidekey"}[1h])';
    await wait('three scrapes', {
      look: () => prometheus.query(scrapes),
      until: (found) => Number(found[0]?.value[1] ?? 0) >= 3,
    });
    const { activeTargets } = await prometheus.api('targets');
    assert.equal(activeTargets.length, 1);
    assert.deepEqual([activeTargets[0].health, activeTargets[0].lastError], ['up', '']);

    for (const { title, expr } of queries) {
      const asked = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m');
      assert.doesNotMatch(asked, /\$/, 'no other variable');
      const result = await prometheus.query(asked);
      assert.ok(result.length > 0, `${title}: ${asked} has no result`);
    }
    const labels = 'label_values(sidekey_build_info, instance)';
    assert.equal(dashboard.templating.list[1].query.query, labels);
    const values: string[] = await prometheus.api('label/instance/values?match[]=sidekey_build_info');
    assert.deepEqual(values, [`127.0.0.1:${scene.port}`]);

    const { groups } = await wait('the rules to be evaluated', {
      look: () => prometheus.api('rules'),
      until: (seen) => seen.groups[0].rules.every(({ health }: { health: string }) => health !== 'unknown'),
    });
    for (const { name, health, lastError } of groups[0].rules)
      assert.deepEqual([health, lastError], ['ok', undefined], name);
    assert.deepEqual(
      groups[0].rules.map(({ name }: { name: string }) => name),
      rules.map(({ alert }) => alert),
    );
  });

  test('says why when its token is wrong', async (t) => {
    const scene = await startScene(t);
    const prometheus = await startPrometheus(t, { port: scene.port, token: 'wrong' });
    const target = await wait('a scrape', {
      look: async () => (await prometheus.api('targets')).activeTargets[0],
      until: (seen) => seen !== undefined && seen.health !== 'unknown',
    });
    assert.equal(target.health, 'down');
    assert.match(target.lastError, /401/);
  });

  test('promtool accepts the text of a server', async (t) => {
    const scene = await startScene(t);
    const { text } = await call(scene.server.adminSocket, 'GET', '/metrics');
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    const { status, stdout, stderr } = checked;
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.equal(`${stdout}${stderr}`, '');
  });
});
