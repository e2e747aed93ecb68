/** `sidekey fetch x509|jwt|bundle` and `sidekey validate jwt`: what this process gets by the SPIFFE Workload API. */

import type { Command } from 'commander';
import { printable } from '../base/index.ts';
import { tokenClaims } from '../spiffe/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';
import {
  addOutputOption,
  jsonText,
  type OutputFormat,
  printFields,
  printTable,
  printView,
  REPORT_FORMATS,
} from './output.ts';
import { knownPipe, PIPE_DEFAULT } from './pipe.ts';
import type { WorkloadApiClient } from './workload-client.ts';

interface PipeOptions {
  readonly socket?: string;
  readonly output: OutputFormat;
}

const SOCKET = ['--socket <path>', `the server's pipe (${PIPE_DEFAULT})`] as const;
const AUDIENCE = 'whom the token is for; may be given several times';

export function addWorkloadFetches(fetch: Command): void {
  const x509 = fetch.command('x509').description('the X.509-SVIDs of this process, the default one first');
  addOutputOption(x509.option(...SOCKET)).action(printX509);
  const jwt = fetch
    .command('jwt')
    .description('JWT-SVIDs of this process; they are printed, so keep the output to yourself')
    .requiredOption('--audience <name>', AUDIENCE, (name: string, names: string[] = []) => [...names, name])
    .option('--spiffe-id <id>', 'one identity (default: a token for each)')
    .option(...SOCKET);
  addOutputOption(jwt).action(printJwt);
  const bundle = fetch
    .command('bundle')
    .description('the bundles that this process may have: X.509 authorities as PEM, keys of JWT-SVIDs as JWK sets')
    .option(...SOCKET);
  addOutputOption(bundle, REPORT_FORMATS).action(printBundles);
}

export function addValidateCommand(program: Command): void {
  const jwt = program
    .command('validate')
    .description('validate what a peer presents')
    .command('jwt')
    .description('validate a JWT-SVID by the bundles of this process; prints its identity and claims')
    .requiredOption('--audience <name>', 'the audience that the token must be for')
    .option('--svid <token>', 'the token; by default it is read from stdin, where other users cannot see it')
    .option(...SOCKET);
  addOutputOption(jwt, REPORT_FORMATS).action(validateToken);
}

async function asking<T>({ socket }: PipeOptions, ask: (client: WorkloadApiClient) => Promise<T>): Promise<T> {
  const place = knownPipe(socket);
  const { connectWorkloadApi } = await import('./pipe-client.ts');
  const client = connectWorkloadApi(place);
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}

async function printX509(options: PipeOptions): Promise<void> {
  const { certificatesOf, pemOf } = await import('./der.ts');
  const { svids, federatedBundles } = await asking(options, (client) => client.x509Svids());
  const rows = svids.map(({ spiffeId, hint, x509Svid, bundle }) => {
    const [leaf] = certificatesOf(x509Svid);
    return {
      spiffe_id: spiffeId,
      hint,
      serial: leaf!.serialNumber.toLowerCase(),
      not_before: leaf!.validFromDate.toISOString(),
      not_after: leaf!.validToDate.toISOString(),
      certificate_chain: pemOf(x509Svid),
      bundle: pemOf(bundle),
    };
  });
  const federated = Object.fromEntries(Object.entries(federatedBundles).map(([id, der]) => [id, pemOf(der)]));
  await printView(options.output, {
    value: { svids: rows, federated_bundles: federated },
    names: rows.map((row) => row.spiffe_id),
    table: () => {
      const cells = rows.map((row) => [row.spiffe_id, row.hint, row.serial, row.not_before, row.not_after]);
      printTable(['SPIFFE ID', 'HINT', 'SERIAL', 'NOT BEFORE', 'NOT AFTER'], cells);
    },
  });
}

async function printJwt(
  options: PipeOptions & { readonly audience: readonly string[]; readonly spiffeId?: string },
): Promise<void> {
  const { audience, spiffeId = '' } = options;
  const { svids } = await asking(options, (client) => client.jwtSvids(audience, spiffeId));
  const rows = svids.map(({ spiffeId, hint, svid }) => {
    const expires_at = new Date(tokenClaims(svid).endsAt).toISOString();
    return { spiffe_id: spiffeId, hint, svid, expires_at };
  });
  await printView(options.output, {
    value: { svids: rows },
    names: rows.map(({ svid }) => svid),
    table: () => {
      for (const { spiffe_id: id, svid, expires_at: end } of rows) {
        printFields([
          ['spiffe id', id],
          ['expires at', end],
          ['token', svid],
        ]);
      }
    },
  });
}

async function printBundles(options: PipeOptions): Promise<void> {
  const { pemOf } = await import('./der.ts');
  const [x509, jwt] = await asking(options, async (client) => [await client.x509Bundles(), await client.jwtBundles()]);
  const ids = [...new Set([...Object.keys(x509.bundles), ...Object.keys(jwt.bundles)])].sort();
  const value = ids.map((id) => {
    const jwks = jwt.bundles[id];
    return {
      trust_domain_id: id,
      x509_authorities: pemOf(x509.bundles[id] ?? Buffer.alloc(0)),
      jwt_authorities: jwks === undefined ? { keys: [] } : (JSON.parse(Buffer.from(jwks).toString('utf8')) as object),
    };
  });
  await printView(options.output, {
    value: { bundles: value },
    names: ids,
    table: () => {
      for (const one of value) {
        const keys = jsonText(one.jwt_authorities);
        process.stdout.write(`${printable(one.trust_domain_id)}\n${one.x509_authorities}${keys}\n`);
      }
    },
  });
}

async function validateToken(
  options: PipeOptions & { readonly audience: string; readonly svid?: string },
): Promise<void> {
  const token = (options.svid ?? (await readInput('--svid', '-')).toString()).trim();
  if (token === '') throw new UsageError('there is no token: give --svid, or write it to stdin');
  const { spiffeId, claims } = await asking(options, (client) => client.validate(options.audience, token));
  await printView(options.output, {
    value: { spiffe_id: spiffeId, claims },
    names: [spiffeId],
    table: () =>
      printFields([
        ['valid', 'yes'],
        ['spiffe id', spiffeId],
        ['claims', JSON.stringify(claims)],
      ]),
  });
}
