/** The processes of the hosts: a server, and on each of the others an agent, an Envoy, and an app behind it. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { EXAMPLES, type Example, moveBootstrap, readBootstrap } from '../demo/bootstraps.ts';
import { makeServerCertificate } from '../demo/certificate.ts';
import { expect, wait } from '../demo/expect.ts';
import { type Answer, call } from '../demo/http.ts';
import { createProcesses, type Processes, type Running } from '../demo/processes.ts';
import { TRUST_DOMAIN } from '../demo/sidekey.ts';
import { type Host, makeHosts } from './network.ts';

export const DOMAIN_ID = `spiffe://${TRUST_DOMAIN}`;
const SERVER = 'server';
const PORT = 8081;
const SIDEKEY = path.join(import.meta.dirname, '../../bin/sidekey');
const APP = path.join(import.meta.dirname, '../app/main.ts');
const COLOURS: Readonly<Partial<Record<Example, string>>> = { 'service-purple': 'purple', 'service-gray': 'gray' };
/** For kernels before 6.5 (Debian 12). The risk does not matter here, because the demo's processes are not hostile. */
const KERNEL = ['--allow-unpinned-peers'];

/** The alias of a host's agent, which entries name as their parent. */
export function hostId(name: Example): string {
  return `${DOMAIN_ID}/host/${name}`;
}

export class HostsStage {
  readonly processes: Processes;
  readonly hosts: Readonly<Record<Example | typeof SERVER, Host>>;
  /** front-envoy's certificate, as PEM. */
  readonly certificate: string;
  readonly #folder: string;
  readonly #running = new Map<string, Running>();

  static async build(): Promise<HostsStage> {
    const base = tmpdir().length <= 60 ? tmpdir() : '/tmp';
    const folder = mkdtempSync(path.join(realpathSync(base), 'sidekey-hosts-'));
    const hosts = await makeHosts([SERVER, ...EXAMPLES]);
    const { certificate, key } = await makeServerCertificate(Date.now());
    return new HostsStage(folder, hosts, certificate, key);
  }

  private constructor(folder: string, hosts: HostsStage['hosts'], certificate: string, key: string) {
    this.#folder = folder;
    this.hosts = hosts;
    this.certificate = certificate;
    for (const name of ['logs', SERVER, ...EXAMPLES]) mkdirSync(this.#within(name), { mode: 0o700 });
    writeFileSync(this.#within('server.crt'), certificate);
    writeFileSync(this.#within('server.key'), key, { mode: 0o600 });
    this.processes = createProcesses(this.#within('logs'));
  }

  /** Kills the processes and removes the folder. It is synchronous, for the 'exit' event. */
  clear(): void {
    this.processes.killAll();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #within(...parts: readonly string[]): string {
    return path.join(this.#folder, ...parts);
  }

  pipe(name: Example): string {
    return this.#within(name, 'run', 'agent.sock');
  }

  async startServer(): Promise<void> {
    const { address } = this.hosts[SERVER];
    const args = ['serve', '--trust-domain', TRUST_DOMAIN, '--data-dir', this.#within(SERVER, 'data')];
    args.push('--socket', this.#within(SERVER, 'run/agent.sock'), '--agent-listen', `${address}:${PORT}`, ...KERNEL);
    await this.#run(SERVER, 'sidekey', SIDEKEY, args);
    await this.#isReady(SERVER);
  }

  /** Ends it at once, as a crash would. */
  async killServer(): Promise<void> {
    process.kill(-this.#running.get('server sidekey')!.pid, 'SIGKILL');
    await this.#running.get('server sidekey')!.stop();
  }

  async startAgent(name: Example): Promise<void> {
    const body = { spiffe_id: hostId(name) };
    const { token } = JSON.parse((await this.ask(SERVER, 'POST', '/v1/agents/tokens', body)).body);
    const [tokenFile, bundle] = [this.#within(name, 'token'), this.#within(name, 'bundle.pem')];
    writeFileSync(tokenFile, token, { mode: 0o600 });
    writeFileSync(bundle, this.command('bundle', 'show'));
    const { address } = this.hosts[SERVER];
    const args = ['agent', 'run', '--trust-domain', TRUST_DOMAIN, '--server', `${address}:${PORT}`, ...KERNEL];
    args.push('--data-dir', this.#within(name, 'data'), '--socket', this.pipe(name));
    args.push('--join-token-file', tokenFile, '--trust-bundle', bundle);
    await this.#run(name, 'agent', SIDEKEY, args);
    await this.#isReady(name);
  }

  /** The Envoy of a host, and the app behind it if it has one. */
  async startEnvoy(name: Example, binary: string): Promise<void> {
    const colour = COLOURS[name];
    if (colour !== undefined) {
      const env = { ...process.env, SERVICE: name, COLOUR: colour, PORT: '8080' };
      await this.#run(name, 'app', process.execPath, [APP], env);
    }
    const addressOf = (example: Example, port: number) => `${this.hosts[example].address}:${port}`;
    const bootstrap = moveBootstrap(readBootstrap(name), {
      addresses: {
        '0.0.0.0:80': ['0.0.0.0:80'],
        '0.0.0.0:443': ['0.0.0.0:443'],
        '127.0.0.1:9901': [9901],
        'app:8080': [8080],
        'myservice:80': [addressOf('service-purple', 80), addressOf('service-gray', 80)],
        'service-purple:443': [addressOf('service-purple', 443)],
        'service-gray:443': [addressOf('service-gray', 443)],
      },
      paths: {
        '/run/sidekey/agent.sock': this.pipe(name),
        '/etc/envoy/certs/server.crt': this.#within('server.crt'),
        '/etc/envoy/certs/server.key': this.#within('server.key'),
      },
    });
    const config = this.#within(name, 'envoy.yaml');
    writeFileSync(config, stringify(bootstrap, { aliasDuplicateObjects: false }));
    const args = ['--config-path', config, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'warning'];
    await this.#run(name, 'envoy', binary, args);
  }

  async isLive(name: Example): Promise<void> {
    const [command, ...words] = [...this.hosts[name].on, 'bash', '-c', READY];
    await wait(`the Envoy of ${name} to be LIVE`, {
      look: async () => execFileSync(command!, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      until: (answer) => answer.includes('LIVE'),
    });
  }

  /** Sends a GET to front-envoy's port 443. */
  get(place: string): Promise<Answer> {
    return call(`https://${this.hosts['front-envoy'].address}${place}`, {
      ca: this.certificate,
      servername: 'front-envoy',
    });
  }

  /** A request to the admin API of the server, or of a host's agent. */
  ask(host: Example | typeof SERVER, method: string, place: string, json?: unknown): Promise<Answer> {
    return call(`http://sidekey${place}`, { method, json, socketPath: this.#within(host, 'data/admin.sock') });
  }

  async made(method: string, place: string, json: unknown): Promise<void> {
    const { status, body } = await this.ask(SERVER, method, place, json);
    expect(status < 300, `${method} ${place} to succeed`, `${status} ${body}`);
  }

  /** What a command prints that asks the server. */
  command(...args: readonly string[]): string {
    const env = { ...process.env, SIDEKEY_ADMIN_SOCKET: this.#within(SERVER, 'data/admin.sock') };
    return execFileSync(SIDEKEY, args, { env, encoding: 'utf8' });
  }

  async #run(
    host: Example | typeof SERVER,
    what: string,
    program: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<void> {
    const [command, ...words] = [...this.hosts[host].on, program, ...args];
    this.#running.set(`${host} ${what}`, await this.processes.start(`${host} ${what}`, command!, words, env));
  }

  #isReady(host: Example | typeof SERVER): Promise<unknown> {
    return wait(`${host} to be ready`, {
      look: async () => (await this.ask(host, 'GET', '/readyz')).status,
      until: (status) => status === 200,
    });
  }
}

const READY =
  'exec 3<>/dev/tcp/127.0.0.1/9901 && printf "GET /ready HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n" >&3 && cat <&3';
