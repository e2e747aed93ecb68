/** `sidekey fetch`: the identities that this process gets over the pipe. */

import type { Command } from 'commander';
import { parseSpiffeId, SPIRE_NAMES, trustDomainId, trustDomainOf } from '../spiffe/index.ts';
import { addOutputOption, type OutputFormat, printFields, printTable, printView } from './output.ts';
import { knownPipe, PIPE_DEFAULT } from './pipe.ts';
import { addWorkloadFetches } from './workload.ts';

interface FetchOptions {
  readonly spiffeId?: string;
  readonly write?: string;
  readonly socket?: string;
  readonly output: OutputFormat;
}

export function addFetchCommand(program: Command): void {
  const command = program
    .command('fetch')
    .description('fetch the identity of this process over the pipe; the key is only written to a file, never printed')
    .option(
      '--spiffe-id <id>',
      'one identity (default: all that the process may have; with --write the one named default)',
    )
    .option('--write <dir>', 'write svid.pem, key.pem and bundle.pem into this directory')
    .option('--socket <path>', `the server's pipe (${PIPE_DEFAULT})`);
  addOutputOption(command).action(fetchIdentity);
  addWorkloadFetches(command.enablePositionalOptions());
}

async function fetchIdentity({ spiffeId, write, socket, output }: FetchOptions): Promise<void> {
  const place = knownPipe(socket);
  const { connectPipe } = await import('./pipe-client.ts');
  const { bundleOf, identityOf, leafOf, writeIdentity } = await import('./identity.ts');
  const client = connectPipe(place);
  try {
    // A server that is started in the same shell uses this variable too.
    const byDefault = process.env.SIDEKEY_SDS_DEFAULT_NAME || SPIRE_NAMES.default;
    const names = spiffeId !== undefined ? [spiffeId] : write !== undefined ? [byDefault] : [];
    const identities = (await client.fetch(names)).flatMap((secret) => identityOf(secret) ?? []);
    const first = identities[0];
    if (first === undefined) throw new Error(`${place}: the server gave this process no identity`);
    if (write !== undefined) {
      const own = trustDomainId(trustDomainOf(parseSpiffeId(first.spiffeId)));
      const bundle = (await client.fetch([own])).flatMap((secret) => bundleOf(secret) ?? [])[0];
      if (bundle === undefined) throw new Error(`${place}: the server gave this process no bundle`);
      await writeIdentity(write, first, bundle);
    }
    const rows = identities.map((identity) => {
      const leaf = leafOf(identity.certificateChain);
      return {
        spiffe_id: identity.spiffeId,
        serial: leaf.serialNumber.toLowerCase(),
        not_before: leaf.validFromDate.toISOString(),
        not_after: leaf.validToDate.toISOString(),
        certificate_chain: identity.certificateChain,
      };
    });
    await printView(output, {
      value: { identities: rows, ...(write === undefined ? {} : { written: write }) },
      names: rows.map((row) => row.spiffe_id),
      table: () => {
        const cells = rows.map((row) => [row.spiffe_id, row.serial, row.not_before, row.not_after]);
        printTable(['SPIFFE ID', 'SERIAL', 'NOT BEFORE', 'NOT AFTER'], cells);
        if (write !== undefined)
          printFields([['written', ['svid.pem', 'key.pem', 'bundle.pem'].map((f) => `${write}/${f}`)]]);
      },
    });
  } catch (thrown) {
    const { decision } = thrown as { decision?: string };
    if (decision === undefined) throw thrown;
    const { nearMissOf } = await import('./near-miss.ts');
    const near = await nearMissOf(decision);
    throw near === undefined ? thrown : new Error(`${(thrown as Error).message}\n${near}`, { cause: thrown });
  } finally {
    client.close();
  }
}
