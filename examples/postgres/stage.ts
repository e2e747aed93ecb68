/** The example's processes: a Sidekey, a database and its helper, an API, its helper and its Envoy, and a client's Envoy. */

import { chmodSync, constants, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile, link } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { withFullHandshakes } from '../../envoy-examples/demo/alterations.ts';
import type { Json } from '../../envoy-examples/demo/bootstraps.ts';
import { DemoEnvoy } from '../../envoy-examples/demo/envoys.ts';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { createProcesses, type Processes } from '../../envoy-examples/demo/processes.ts';
import { Sidekey, TRUST_DOMAIN } from '../../envoy-examples/demo/sidekey.ts';
import { DATABASE_USER, Database, databaseAccount } from './database.ts';

const ROOT = path.join(import.meta.dirname, '../..');

/** Programs with an identity. Each has a path of its own, by which its entry tells it apart. */
export const WORKLOADS = ['postgres-helper', 'api-helper', 'api-proxy', 'client-proxy'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** The lifetime of the API's Envoy's SVIDs, in seconds: short, because the example waits for the end of one. */
const TTL = 10;

export class Stage {
  readonly folder: string;
  readonly processes: Processes;
  readonly sidekey: Sidekey;
  readonly database: Database;
  readonly apiProxy: DemoEnvoy;
  readonly clientProxy: DemoEnvoy;
  readonly #ports: { readonly database: number; readonly api: number; readonly mtls: number; readonly client: number };
  readonly #psql: string;

  static async build(programs: string): Promise<Stage> {
    return new Stage(programs, await freePorts(6));
  }

  private constructor(programs: string, [database, api, mtls, client, ...admin]: number[]) {
    this.#ports = { database: database!, api: api!, mtls: mtls!, client: client! };
    this.#psql = path.join(programs, 'psql');
    this.folder = mkdtempSync(path.join(realpathSync(tmpdir()), 'sidekey-postgres-'));
    // The database's user must reach its folder.
    chmodSync(this.folder, 0o711);
    for (const name of ['run', 'bin', 'etc', 'logs', 'api']) mkdirSync(this.#within(name), { mode: 0o700 });
    for (const name of ['postgres', 'certs']) mkdirSync(this.#within(name), { mode: 0o711 });
    this.processes = createProcesses(this.#within('logs'));
    const dataDir = this.#within('data');
    this.sidekey = new Sidekey(this.processes, {
      dataDir,
      socket: this.#pipe,
      adminSocket: path.join(dataDir, 'admin.sock'),
      log: this.#within('logs/sidekey.log'),
    });
    this.database = new Database({
      programs,
      folder: this.#within('postgres'),
      certificates: this.#within('certs'),
      port: database!,
    });
    this.apiProxy = this.#envoy('api-proxy', admin[0]!);
    this.clientProxy = this.#envoy('client-proxy', admin[1]!);
  }

  /** The client's Envoy, in clear text. */
  get url(): string {
    return `http://127.0.0.1:${this.#ports.client}/customers`;
  }

  get #pipe(): string {
    return this.#within('run/agent.sock');
  }

  #within(...parts: string[]): string {
    return path.join(this.folder, ...parts);
  }

  #envoy(name: Workload, adminPort: number): DemoEnvoy {
    return new DemoEnvoy({ name, binary: this.program(name), config: this.#within('etc', `${name}.yaml`), adminPort });
  }

  /** The path by which a workload is known. */
  program(name: Workload): string {
    return this.#within('bin', name);
  }

  /** The entry that gives a workload its identity, and only to it. */
  entry(name: Workload) {
    const selectors = [`unix:uid:${process.getuid!()}`, `unix:path:${this.program(name)}`];
    const life = name === 'api-proxy' ? { x509_svid_ttl: TTL } : {};
    return { ...ENTRIES[name], id: name, selectors: selectors.map(selectorOf), ...life };
  }

  async placePrograms(envoy: string): Promise<void> {
    for (const name of ['postgres-helper', 'api-helper'] as const) {
      const program = this.program(name);
      await link(process.execPath, program).catch(() =>
        copyFile(process.execPath, program, constants.COPYFILE_FICLONE),
      );
    }
    await this.apiProxy.place(envoy);
    await this.clientProxy.place(envoy);
  }

  /** Beside the database: keeps its certificate, and tells it when there is a new one. */
  async startDatabaseHelper(): Promise<void> {
    const signal = ['--signal', 'HUP', '--pid-file', this.database.pidFile];
    const account = databaseAccount();
    const owner = account === undefined ? [] : ['--owner', `${account.uid}:${account.gid}`];
    await this.#startHelper(
      'postgres-helper',
      'fetch',
      '--write',
      this.#within('certs'),
      '--watch',
      ...signal,
      ...owner,
    );
  }

  /** Waits until a helper has written its files into this folder. */
  async helperWrote(folder: string): Promise<void> {
    const file = this.#within(folder, 'key.pem');
    await wait(`${file} to be there`, { look: async () => existsSync(file), until: (there) => there });
  }

  /** Beside the API, by a configuration of spiffe-helper. */
  async startApi(): Promise<void> {
    const config = this.#within('etc/helper.conf');
    writeFileSync(
      config,
      `agent_address = "${this.#pipe}"
cert_dir = "${this.#within('api')}"
svid_file_name = "svid.pem"
svid_key_file_name = "svid_key.pem"
svid_bundle_file_name = "svid_bundle.pem"
`,
    );
    await this.#startHelper('api-helper', 'helper', '-config', config);
    const { api, database } = this.#ports;
    const program = path.join(import.meta.dirname, 'api.ts');
    const args = [String(api), this.#psql, String(database), DATABASE_USER, this.#within('api')];
    await this.processes.start('api', process.execPath, [program, ...args]);
  }

  async #startHelper(name: Workload, ...args: readonly string[]): Promise<void> {
    // bin/sidekey does the same with the Node of the project, which all helpers would share.
    const sidekey = path.join(ROOT, 'dist/sidekey.cjs');
    const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: `unix://${this.#pipe}` };
    await this.processes.start(name, this.program(name), [sidekey, ...args], env);
  }

  async startEnvoys(): Promise<void> {
    const { api, mtls, client } = this.#ports;
    const [own, other] = [idOf('api-proxy'), idOf('client-proxy')];
    const atApi = ['--listen', `127.0.0.1:${mtls}`, '--to', `127.0.0.1:${api}`, '--allow', other];
    const atClient = ['--upstream', `api=127.0.0.1:${mtls},${own}`, '--local', `api=127.0.0.1:${client}`];
    await this.apiProxy.start(this.processes, await this.#bootstrap(this.apiProxy, atApi));
    // Each request makes a connection, so that it shows the certificates of the moment.
    const bootstrap = withFullHandshakes(await this.#bootstrap(this.clientProxy, atClient), 1);
    await this.clientProxy.start(this.processes, bootstrap);
  }

  async #bootstrap({ name, adminPort }: DemoEnvoy, args: readonly string[]): Promise<Json> {
    const places = ['--socket', this.#pipe, '--admin', `127.0.0.1:${adminPort}`];
    return parse(
      await this.sidekey.command('envoy', 'bootstrap', '--spiffe-id', idOf(name), ...args, ...places),
    ) as Json;
  }

  /** Synchronous, for the 'exit' event. */
  clear(): void {
    this.processes.killAll();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export function idOf(name: string): string {
  return `spiffe://${TRUST_DOMAIN}/${name}`;
}

/** The database's certificate is for the name by which clients connect; the API's is for the user that it logs in as. */
const ENTRIES: Readonly<Record<Workload, { readonly spiffe_id: string; readonly dns_names?: readonly string[] }>> = {
  'postgres-helper': { spiffe_id: idOf('postgres'), dns_names: ['localhost'] },
  'api-helper': { spiffe_id: idOf('api'), dns_names: [DATABASE_USER] },
  'api-proxy': { spiffe_id: idOf('api-proxy') },
  'client-proxy': { spiffe_id: idOf('client-proxy') },
};

export function selectorOf(text: string): { readonly type: string; readonly value: string } {
  const at = text.indexOf(':');
  return { type: text.slice(0, at), value: text.slice(at + 1) };
}
