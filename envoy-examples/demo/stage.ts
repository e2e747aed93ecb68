/** The demo's environment: a temporary folder, free ports, and its processes. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EXAMPLES, type Example, type Json, type Moves, moveBootstrap, readBootstrap } from './bootstraps.ts';
import { makeServerCertificate } from './certificate.ts';
import { DemoEnvoy } from './envoys.ts';
import { wait } from './expect.ts';
import { call } from './http.ts';
import { freePorts } from './ports.ts';
import { createProcesses, type Processes } from './processes.ts';
import { Sidekey, type SidekeyOptions } from './sidekey.ts';

/** A socket's path has at most 107 bytes, and the demo needs 40 of them below the temporary folder. */
const LONGEST_TMPDIR = 60;

const IMPOSTOR = 'impostor';
const COLOURS = { 'service-purple': 'purple', 'service-gray': 'gray' } as const;
export type Service = keyof typeof COLOURS;
export const SERVICES = Object.keys(COLOURS) as Service[];

interface Ports {
  readonly http: number;
  readonly https: number;
  readonly admin: number;
  readonly app: number;
}

export interface Stage {
  readonly folder: string;
  readonly pipe: string;
  readonly dataDir: string;
  readonly processes: Processes;
  readonly sidekey: Sidekey;
  readonly envoys: Readonly<Record<Example, DemoEnvoy>>;
  /** An Envoy without an entry. */
  readonly impostor: DemoEnvoy;
  readonly ports: Readonly<Record<Example | typeof IMPOSTOR, Ports>>;
  /** front-envoy's certificate, as PEM. */
  readonly certificate: string;
  readonly certificateFile: string;
  /** The example's bootstrap, moved to loopback, with the ports of `as` if that is given. */
  bootstrap(example: Example, as?: typeof IMPOSTOR): Json;
  /** Kills the processes and removes the folder. It is synchronous, for the 'exit' event. */
  clear(): void;
}

export async function buildStage({ rootPublishTime }: Pick<SidekeyOptions, 'rootPublishTime'> = {}): Promise<Stage> {
  const { folder, clear: remove } = makeFolder();
  const within = (...parts: string[]) => path.join(folder, ...parts);
  for (const name of ['run', 'bin', 'etc', 'logs']) mkdirSync(within(name), { mode: 0o700 });
  const processes = createProcesses(within('logs'));
  const { certificate, key } = await makeServerCertificate(Date.now());
  writeFileSync(within('etc/server.crt'), certificate);
  writeFileSync(within('etc/server.key'), key, { mode: 0o600 });

  const names = [...EXAMPLES, IMPOSTOR] as const;
  const ports = await portsFor(names);
  const pipe = within('run/agent.sock');
  const dataDir = within('data');
  const paths = {
    '/run/sidekey/agent.sock': pipe,
    '/etc/envoy/certs/server.crt': within('etc/server.crt'),
    '/etc/envoy/certs/server.key': within('etc/server.key'),
  };
  const envoy = (name: Example | typeof IMPOSTOR) =>
    new DemoEnvoy({
      name,
      binary: within('bin', name),
      config: within('etc', `${name}.yaml`),
      adminPort: ports[name].admin,
    });
  return {
    folder,
    pipe,
    dataDir,
    processes,
    sidekey: new Sidekey(processes, {
      dataDir,
      socket: pipe,
      adminSocket: path.join(dataDir, 'admin.sock'),
      log: within('logs/sidekey.log'),
      rootPublishTime,
    }),
    envoys: Object.fromEntries(EXAMPLES.map((name) => [name, envoy(name)])) as Record<Example, DemoEnvoy>,
    impostor: envoy(IMPOSTOR),
    ports,
    certificate,
    certificateFile: within('etc/server.crt'),
    bootstrap: (example, as) =>
      moveBootstrap(readBootstrap(example), { addresses: addresses(ports, as ?? example), paths }),
    clear() {
      processes.killAll();
      remove();
    },
  };
}

/** Only this user has access to the folder, because Sidekey refuses a pipe that others could replace. */
function makeFolder(): { folder: string; clear: () => void } {
  const base = tmpdir().length <= LONGEST_TMPDIR ? tmpdir() : '/tmp';
  const folder = mkdtempSync(path.join(realpathSync(base), 'sidekey-demo-'));
  return { folder, clear: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

async function portsFor<Name extends string>(names: readonly Name[]): Promise<Record<Name, Ports>> {
  const free = await freePorts(names.length * 4);
  const next = () => free.pop()!;
  const ports = names.map((name) => [name, { http: next(), https: next(), admin: next(), app: next() }]);
  return Object.fromEntries(ports) as Record<Name, Ports>;
}

/** The loopback ports for the names and ports of the container network, as seen from `self`. */
function addresses(ports: Stage['ports'], self: Example | typeof IMPOSTOR): Moves['addresses'] {
  const services = SERVICES.map((name) => ports[name]);
  return {
    '0.0.0.0:80': [ports[self].http],
    '0.0.0.0:443': [ports[self].https],
    '127.0.0.1:9901': [ports[self].admin],
    'app:8080': [ports[self].app],
    'myservice:80': services.map(({ http }) => http),
    'service-purple:443': [ports['service-purple'].https],
    'service-gray:443': [ports['service-gray'].https],
  };
}

/** Starts the app behind a service's Envoy and waits until it answers. */
export async function startApp({ processes, ports }: Stage, service: Service): Promise<void> {
  const port = ports[service].app;
  const env = { ...process.env, SERVICE: service, COLOUR: COLOURS[service], PORT: String(port) };
  const app = path.join(import.meta.dirname, '../app/main.ts');
  await processes.start(`${COLOURS[service]}-app`, process.execPath, [app], env);
  await wait(`the app of ${service} to answer`, {
    look: async () => (await call(`http://127.0.0.1:${port}/`)).status,
    until: (status) => status === 200,
  });
}
