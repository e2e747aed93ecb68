/** What an honest container feels of one whose labels or events are weapons, on a real engine. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { joinCgroupsOf } from '../../test/support/cgroup.ts';
import { type ContainerEngine, engines, NO_ENGINE } from '../../test/support/container-engine.ts';
import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { Fetches, FetchesOptions } from '../load/honest-program.ts';
import { Program } from '../load/program.ts';

const [HONEST, HOSTILE] = [21_001, 21_002];
const NAME = `spiffe://${TRUST_DOMAIN}/honest`;
const SECONDS = 6;
const RUN = `sidekey-bench-hostile-${process.pid}`;
const EACH_MS = 1_000_000; // In nanoseconds, as the engine counts.

/** What the hostile container is made with, and what its process does. */
interface Attack {
  readonly config: Record<string, unknown>;
  readonly program: 'attested' | 'nothing';
  /** Runs `docker exec` in it and renames it, one after the other. */
  readonly commands?: boolean;
}

const labels = (count: number, length: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`label-${at}`, 'x'.repeat(length)]));
const healthChecks = { Test: ['CMD', '/bin/true'], Interval: EACH_MS };

const QUIET: Attack = { config: {}, program: 'nothing' };
const ATTACKS: Readonly<Record<string, Attack>> = {
  'ten labels of 350 KB': { config: { Labels: labels(10, 350_000) }, program: 'attested' },
  '90,000 labels': { config: { Labels: labels(90_000, 0) }, program: 'attested' },
  'as many labels as are read': { config: { Labels: labels(1_900, 100) }, program: 'attested' },
  events: {
    config: { Labels: labels(1, 1_100_000), Healthcheck: healthChecks },
    program: 'attested',
    commands: true,
  },
};
/** What the engine's own work for such health checks and commands costs, whatever the server makes of their events. */
const ENGINE_ALONE: Attack = { config: { Healthcheck: healthChecks }, program: 'nothing', commands: true };

export async function hostileContainers(cleanup: Cleanup): Promise<Figure[]> {
  if (process.getuid!() !== 0) throw new Error('only root can move a process into a container');
  const engine = engines()[0];
  if (engine === undefined) {
    console.error(`hostile-containers: ${NO_ENGINE}`);
    return [];
  }
  const figures: Figure[] = [];
  for (const [name, attack] of Object.entries(ATTACKS)) {
    const quiet = await cleanup.within((inner) => beside(inner, engine, QUIET));
    const alone = attack.commands && (await cleanup.within((inner) => beside(inner, engine, ENGINE_ALONE)));
    const attacked = await cleanup.within((inner) => beside(inner, engine, attack));
    figures.push(figureOf(name, quiet, alone || undefined, attacked));
  }
  return figures;
}

interface Beside extends Fetches {
  /** The largest that the server's resident memory was, its database, and its log, in MiB. */
  readonly peak: number;
  readonly database: number;
  readonly log: number;
}

async function beside(cleanup: Cleanup, engine: ContainerEngine, attack: Attack): Promise<Beside> {
  const flags = ['--socket-mode', '0666', '--docker-socket', engine.socketPath];
  const server = await serve(cleanup, { logLevel: 'info', flags });
  const folder = path.dirname(server.socket);
  execFileSync('chmod', ['755', server.directory, folder]);
  const selectors = [`docker:label:app:${RUN}`];
  await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  const image = engine.image(cleanup, `${RUN}:1`);
  const start = async (name: string, config: Record<string, unknown>) => {
    await engine.create(image, { name, folder }, { Cmd: ['/bin/sleep', '1000'], ...config });
    await engine.start(name);
    return Number(engine.inspect(name, '{{.State.Pid}}'));
  };
  const [honestName, hostileName] = [`${RUN}-honest`, `${RUN}-hostile`];
  const honestMain = await start(honestName, { Labels: { app: RUN } });
  const hostileMain = await start(hostileName, attack.config);

  const honest = Program.start(cleanup, 'honest-program.ts');
  await honest.tell('become', { uid: HONEST });
  joinCgroupsOf(honestMain, honest.pid);
  const fetches = (seconds: number) => {
    const options: FetchesOptions = { socket: server.socket, name: NAME, seconds, pause: 10 };
    return honest.tell<Fetches>('fetches', options);
  };
  await fetches(1);
  const neighbour = Program.start(cleanup, '../../test/support/hostile-program.ts');
  joinCgroupsOf(hostileMain, neighbour.pid);
  await neighbour.tell('attack', { attack: attack.program, socket: server.socket, uid: HOSTILE, folder });
  const ending = new AbortController();
  const flood = attack.commands === true ? runCommands(engine, hostileName, ending.signal) : undefined;
  const measured = await fetches(SECONDS);
  ending.abort();
  await flood;
  return { ...measured, ...sizesOf(server) };
}

async function runCommands(engine: ContainerEngine, name: string, signal: AbortSignal): Promise<void> {
  engine.removeLater(`${name}-renamed`);
  for (let at = name; !signal.aborted; ) {
    const next = at === name ? `${name}-renamed` : name;
    for (const words of [
      ['exec', at, '/bin/true'],
      ['rename', at, next],
    ]) {
      await once(spawn('docker', ['-H', `unix://${engine.socketPath}`, ...words], { stdio: 'ignore' }), 'close');
    }
    at = next;
  }
}

function sizesOf(server: Served): Omit<Beside, keyof Fetches> {
  const status = readFileSync(`/proc/${server.pid}/status`, 'latin1');
  const files = readdirSync(server.dataDir).filter((name) => name.startsWith('sidekey.db'));
  const bytes = files.reduce((sum, name) => sum + statSync(path.join(server.dataDir, name)).size, 0);
  return {
    peak: round(Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) / 1_024),
    database: round(bytes / 1_024 ** 2),
    log: round(JSON.stringify(server.log).length / 1_024 ** 2),
  };
}

function figureOf(attack: string, quiet: Beside, alone: Beside | undefined, attacked: Beside): Figure {
  const p99 = ({ took }: Fetches) => (took.length === 0 ? Number.NaN : percentile(took, 0.99));
  return {
    name: `hostile-containers (${attack})`,
    value: p99(attacked),
    unit: 'ms',
    compared_with: {
      quiet: p99(quiet),
      'times quiet': round(p99(attacked) / p99(quiet)),
      reach: '4 times quiet, and no failed fetch',
      ...(alone === undefined ? {} : { "beside the engine's own work for it": p99(alone) }),
      fetches: attacked.took.length,
      failed: attacked.failures.length,
      ...(attacked.failures.length === 0 ? {} : { 'first failure': attacked.failures[0]! }),
      'peak memory of the server (MiB)': attacked.peak,
      'quiet peak memory (MiB)': quiet.peak,
      'database (MiB)': attacked.database,
      'log (MiB)': attacked.log,
    },
    how: `p99 of an honest container that fetches its SVID on a new connection each 10 ms for ${SECONDS} s, while another container has itself attested as often as it can (${attack}); quiet: while a process in another container keeps a processor busy`,
  };
}
