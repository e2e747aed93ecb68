/**
 * Local images under the names that Dockerfile and compose.yaml ask for, made of this machine's files: so the two run as
 * they are where no image registry can be reached. An image that the engine has already, or can pull, is left alone.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { ROOT } from '../support/serve.ts';

interface StandIn {
  readonly name: string;
  /** Path in the image to the file or folder here. */
  readonly files: Readonly<Record<string, string>>;
  /** Commands of this machine that the image has, too. */
  readonly commands: readonly string[];
  readonly users: readonly string[];
  /** As in a Dockerfile. */
  readonly settings: readonly string[];
}

/** Makes those that are missing, on the engine that `docker` talks to. @param env of `docker` */
export async function makeStandIns(env: NodeJS.ProcessEnv = process.env): Promise<void> {
  for (const standIn of [nodeStandIn(), await envoyStandIn()]) {
    if (docker(env, 'image', 'inspect', standIn.name) || docker(env, 'pull', '--quiet', standIn.name)) continue;
    await make(standIn, env);
    console.error(`${standIn.name} is a stand-in of this machine's files`);
  }
}

const SHELL = ['sh', 'bash', 'env', 'cat', 'ls', 'grep', 'id', 'sleep'];
const BUILD = [...SHELL, 'mkdir', 'cp', 'rm', 'chmod', 'chown', 'ln', 'mv', 'uname', 'dirname', 'readlink', 'install'];
const CA_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
/** Programs load these by name, besides what `ldd` tells; native packages link to them. */
const LIBRARIES = [
  'librt.so.1',
  'libdl.so.2',
  'libpthread.so.0',
  'libresolv.so.2',
  'libnss_dns.so.2',
  'libnss_files.so.2',
];

/** With npm, and what npm has fetched before: a build takes that again rather than the network. */
function nodeStandIn(): StandIn {
  const npm = path.dirname(path.dirname(realpathSync(output('sh', ['-c', 'command -v npm']))));
  const cache = path.join(output('npm', ['config', 'get', 'cache']), '_cacache');
  const registry = output('npm', ['config', 'get', 'registry']);
  return {
    name: /^ARG NODE=(.+)$/m.exec(readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8'))![1]!,
    files: {
      '/usr/local/bin/node': realpathSync(process.execPath),
      '/usr/local/lib/node_modules/npm': npm,
      ...(existsSync(cache) ? { '/var/cache/npm/_cacache': cache } : {}),
      ...(existsSync(CA_CERTIFICATES) ? { [CA_CERTIFICATES]: CA_CERTIFICATES } : {}),
    },
    commands: BUILD,
    users: ['root:x:0:0::/root:/bin/sh', 'node:x:1000:1000::/home/node:/bin/sh'],
    settings: [
      `ENV NODE_EXTRA_CA_CERTS=${CA_CERTIFICATES} npm_config_cache=/var/cache/npm npm_config_prefer_offline=true npm_config_registry=${registry}`,
      'CMD ["node"]',
    ],
  };
}

async function envoyStandIn(): Promise<StandIn> {
  const { path: binary } = await findEnvoy({ tell: (line) => console.error(line) });
  return {
    name: /image: (envoyproxy\/envoy:\S+)/.exec(readFileSync(path.join(ROOT, 'compose.yaml'), 'utf8'))![1]!,
    files: {
      '/usr/local/bin/envoy': binary,
      '/docker-entrypoint.sh': path.join(import.meta.dirname, 'envoy-entrypoint.sh'),
    },
    commands: [...SHELL, 'setpriv'],
    users: ['root:x:0:0::/root:/bin/sh', 'envoy:x:101:101::/:/bin/sh'],
    settings: ['ENTRYPOINT ["/docker-entrypoint.sh"]', 'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]'],
  };
}

async function make({ name, files, commands, users, settings }: StandIn, env: NodeJS.ProcessEnv): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-image-'));
  try {
    const add = (target: string, source: string) =>
      cpSync(realpathSync(source), path.join(folder, target), { recursive: true });
    for (const [target, source] of Object.entries(files)) add(target, source);
    const programs = commands.map((command) => output('sh', ['-c', `command -v ${command}`]));
    for (const [at, program] of programs.entries()) add(`/usr/bin/${commands[at]}`, program);
    for (const library of librariesOf([...programs, ...Object.values(files).filter((file) => !file.endsWith('.sh'))])) {
      add(library, library);
    }
    mkdirSync(path.join(folder, 'etc'), { recursive: true });
    writeFileSync(path.join(folder, 'etc/passwd'), `${users.join('\n')}\n`);
    const script = [
      'mkdir -p etc/envoy root',
      'install -d -m 1777 tmp',
      'ln -s usr/bin bin',
      'if [ -e usr/local/lib/node_modules/npm ]; then ln -s ../lib/node_modules/npm/bin/npm-cli.js usr/local/bin/npm; fi',
    ];
    spawnSync('sh', ['-ec', script.join('\n')], { cwd: folder, stdio: 'inherit' });
    const changes = settings.flatMap((setting) => ['--change', setting]);
    const tar = spawn('tar', ['--create', '.'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    const imported = spawn('docker', ['import', ...changes, '-', name], {
      env,
      stdio: [tar.stdout, 'ignore', 'inherit'],
    });
    const [status] = (await once(imported, 'close')) as [number | null];
    if (status !== 0) throw new Error(`docker import ${name} ended with ${status}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the dynamic loader finds what these load, and {@link LIBRARIES} beside it; the loader itself, too. */
function librariesOf(programs: readonly string[]): Set<string> {
  const told = programs.map((program) => spawnSync('ldd', [program], { encoding: 'utf8' }).stdout).join('\n');
  const found = new Set([...told.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)].map(([, file]) => file!));
  const folder = path.dirname([...found].find((file) => path.basename(file) === 'libc.so.6')!);
  for (const name of LIBRARIES) if (existsSync(path.join(folder, name))) found.add(path.join(folder, name));
  return found;
}

function docker(env: NodeJS.ProcessEnv, ...args: readonly string[]): boolean {
  return spawnSync('docker', args, { env, stdio: 'ignore', timeout: 300_000 }).status === 0;
}

function output(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

if (import.meta.main) await makeStandIns();
