/** A real Prometheus for tests, on a free port of loopback and with a directory of its own. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { tempDir } from './temp-dir.ts';

/** Why tests with Prometheus can't run here; false where they can. */
export function whyNoPrometheus(): string | false {
  for (const program of ['prometheus', 'promtool']) {
    if (spawnSync(program, ['--version']).status !== 0) return `no ${program} (Debian's package prometheus)`;
  }
  return false;
}

export interface Prometheus {
  /** Runs an instant query. @throws Error with Prometheus' reason */
  query(expression: string): Promise<readonly Series[]>;
  /** A GET of its API, below `/api/v1/`. Returns the member `data`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  api(place: string): Promise<any>;
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

/**
 * Starts it with one job, `sidekey`, that scrapes 127.0.0.1 each second; ended when the test ends.
 * @param rules files of alert rules
 */
export async function startPrometheus(
  t: TestContext,
  { port, token, rules = [] }: { port: number; token: string; rules?: readonly string[] },
): Promise<Prometheus> {
  const folder = tempDir(t);
  const [listen] = await freePorts(1);
  const file = (name: string) => path.join(folder, name);
  writeFileSync(file('token'), token, { mode: 0o600 });
  const job = {
    job_name: 'sidekey',
    authorization: { credentials_file: file('token') },
    static_configs: [{ targets: [`127.0.0.1:${port}`] }],
  };
  const global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' };
  // JSON is YAML too.
  writeFileSync(file('prometheus.yml'), JSON.stringify({ global, rule_files: rules, scrape_configs: [job] }));
  const out = openSync(file('log'), 'w');
  const child = spawn(
    'prometheus',
    [
      `--config.file=${file('prometheus.yml')}`,
      `--storage.tsdb.path=${file('data')}`,
      `--web.listen-address=127.0.0.1:${listen}`,
    ],
    { cwd: folder, stdio: ['ignore', out, out] },
  );
  closeSync(out);
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const ask = async (place: string) => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${readFileSync(file('log'), 'utf8')}`);
    return fetch(`http://127.0.0.1:${listen}${place}`);
  };
  await wait('Prometheus to be ready', {
    look: async () => (await ask('/-/ready')).status,
    until: (one) => one === 200,
  });
  const api = async (place: string) => {
    const answer = (await (await ask(`/api/v1/${place}`)).json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(`${place}: ${answer.error}`);
    return answer.data;
  };
  return {
    api,
    query: async (expression) => {
      const data = await api(`query?query=${encodeURIComponent(expression)}`);
      return (data as { result: Series[] }).result;
    },
  };
}
