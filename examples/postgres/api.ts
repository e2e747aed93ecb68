/**
 * The REST API: `GET /customers` reads the database, to which it logs in with its X.509-SVID. The files are read anew for
 * each login, so it needs no signal when they change.
 *
 * Usage: api.ts LISTEN_PORT PSQL DATABASE_PORT DATABASE_USER CERTIFICATES
 */

import { execFile } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';

const [port, psql, databasePort, user, certificates] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];

/** What libpq reads. `verify-full`: the server's certificate must be of the bundle's authorities, and for `localhost`. */
const environment = {
  ...process.env,
  PGHOST: 'localhost',
  PGHOSTADDR: '127.0.0.1',
  PGPORT: databasePort,
  PGUSER: user,
  PGDATABASE: 'customers',
  PGCONNECT_TIMEOUT: '5',
  PGSSLMODE: 'verify-full',
  PGSSLCERT: path.join(certificates, 'svid.pem'),
  PGSSLKEY: path.join(certificates, 'svid_key.pem'),
  PGSSLROOTCERT: path.join(certificates, 'svid_bundle.pem'),
};

async function customers(): Promise<readonly string[]> {
  const args = ['--no-psqlrc', '--no-password', '--tuples-only', '--no-align', '-c', 'SELECT name FROM customers'];
  const { stdout } = await promisify(execFile)(psql, args, { env: environment, timeout: 10_000 });
  return stdout.trim().split('\n');
}

http
  .createServer((request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
    };
    if (request.url !== '/customers') return answer(404, { error: 'there is only /customers' });
    customers().then(
      (names) => answer(200, { customers: names }),
      ({ stderr }: { stderr?: string }) => answer(500, { error: stderr?.trim() ?? 'psql failed' }),
    );
  })
  .listen(Number(port), '127.0.0.1');
