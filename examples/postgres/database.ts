/** A PostgreSQL of the example's own: TLS with the files that `sidekey fetch --write` keeps, and `cert` login. */

import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, globSync } from 'node:fs';
import { appendFile, chown, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { wait } from '../../envoy-examples/demo/expect.ts';
import type { Processes, Running } from '../../envoy-examples/demo/processes.ts';
import { userOf } from '../../src/base/index.ts';

const run = promisify(execFile);

/** The user whose SVID logs in: the first DNS name of its entry. */
export const DATABASE_USER = 'symuser';

/** The folder of PostgreSQL's programs: `$PG_BIN`, or the newest of Debian's; undefined if there is none. */
export function findPostgres(): string | undefined {
  const byVersion = (folder: string) => Number(/\d+/.exec(folder)?.[0] ?? 0);
  const debian = globSync('/usr/lib/postgresql/*/bin').sort((a, b) => byVersion(b) - byVersion(a));
  return [process.env.PG_BIN, ...debian].find((folder) => folder !== undefined && isThere(path.join(folder, 'initdb')));
}

function isThere(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Root can't run PostgreSQL: then it runs as the user `postgres`, whose files the certificates are. */
export function databaseAccount(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.geteuid!() !== 0) return undefined;
  const { uid, gid } = userOf('postgres') ?? {};
  if (uid === undefined || gid === undefined) throw new Error('this host has no user postgres');
  return { uid, gid };
}

export interface DatabasePlaces {
  /** PostgreSQL's programs. */
  readonly programs: string;
  /** An empty folder of the database's user. */
  readonly folder: string;
  /** svid.pem, key.pem and bundle.pem. */
  readonly certificates: string;
  readonly port: number;
}

export class Database {
  readonly #places: DatabasePlaces;
  readonly #account = databaseAccount();

  constructor(places: DatabasePlaces) {
    this.#places = places;
  }

  get pidFile(): string {
    return path.join(this.#data, 'postmaster.pid');
  }

  get #data(): string {
    return path.join(this.#places.folder, 'data');
  }

  /** Makes the cluster and its configuration. The certificates come later. */
  async create(): Promise<void> {
    const { folder, certificates, port } = this.#places;
    if (this.#account !== undefined) await chown(folder, this.#account.uid, this.#account.gid);
    await this.#execute(
      'initdb',
      '-D',
      this.#data,
      '-A',
      'trust',
      '-U',
      'postgres',
      '--no-sync',
      '--no-locale',
      '-E',
      'UTF8',
    );
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: folder,
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: path.join(certificates, 'svid.pem'),
      ssl_key_file: path.join(certificates, 'key.pem'),
      ssl_ca_file: path.join(certificates, 'bundle.pem'),
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    await appendFile(path.join(this.#data, 'postgresql.conf'), lines.join(''));
    // Over the network nobody gets in without a certificate whose common name is the user.
    const hba = 'local all postgres trust\nhostssl customers all 127.0.0.1/32 cert\n';
    await writeFile(path.join(this.#data, 'pg_hba.conf'), hba);
  }

  async start(processes: Processes): Promise<Running> {
    const [program, ...args] = this.#command('postgres', '-D', this.#data);
    const running = await processes.start('postgres', program!, args);
    await wait('PostgreSQL to answer', {
      look: () => this.query('postgres', 'SELECT 1'),
      until: (rows) => rows === '1',
    });
    return running;
  }

  /** Makes the table of customers, which the API's user may read. */
  async fill(): Promise<void> {
    await this.query('postgres', 'CREATE DATABASE customers');
    await this.query(
      'customers',
      `CREATE TABLE customers (name text); INSERT INTO customers VALUES ('Ada'), ('Grace');
       CREATE ROLE ${DATABASE_USER} LOGIN; CREATE ROLE otheruser LOGIN; GRANT SELECT ON customers TO ${DATABASE_USER}`,
    );
  }

  /** As the superuser, over the Unix socket. */
  async query(database: string, sql: string): Promise<string> {
    const { folder, port } = this.#places;
    const options = ['--no-psqlrc', '--tuples-only', '--no-align', '-h', folder, '-p', String(port), '-U', 'postgres'];
    return (await this.#execute('psql', ...options, '-d', database, '-c', sql)).trim();
  }

  /** The certificate that it shows to clients now. */
  async certificate(): Promise<X509Certificate> {
    const socket = connect(this.#places.port, '127.0.0.1');
    try {
      // SSLRequest: its length and its code. @see https://www.postgresql.org/docs/current/protocol-message-formats.html
      socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
      await once(socket, 'data');
      const tls = connectTls({ socket, rejectUnauthorized: false });
      await once(tls, 'secureConnect');
      return new X509Certificate(tls.getPeerCertificate().raw);
    } finally {
      socket.destroy();
    }
  }

  #command(program: string, ...args: readonly string[]): string[] {
    const whole = [path.join(this.#places.programs, program), ...args];
    if (this.#account === undefined) return whole;
    const { uid, gid } = this.#account;
    return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', ...whole];
  }

  async #execute(...words: readonly [string, ...string[]]): Promise<string> {
    const [program, ...args] = this.#command(...words);
    return (await run(program!, args, { cwd: '/' })).stdout;
  }
}
