/** `sidekey fetch`: the identities that this process gets over the pipe. */

import type { Command } from 'commander';
import { UsageError } from './errors.ts';
import { addFilesOptions, addLogOptions, checkCombination, type FilesFlags, type LogFlags } from './files-flags.ts';
import type { Identity } from './identity.ts';
import { addOutputOption, type OutputFormat, printFields, printTable, printView } from './output.ts';
import { knownPipe, PIPE_DEFAULT } from './pipe.ts';
import { addWorkloadFetches } from './workload.ts';

interface FetchOptions extends FilesFlags, LogFlags {
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
    .option(
      '--write <dir>',
      'write certificate, key and bundle into this directory (default: svid.pem, key.pem, bundle.pem)',
    )
    .option('--socket <path>', `the server's pipe (${PIPE_DEFAULT})`);
  addLogOptions(addFilesOptions(command));
  addOutputOption(command).action(fetchIdentity);
  addWorkloadFetches(command.enablePositionalOptions());
}

async function fetchIdentity(options: FetchOptions): Promise<void> {
  const { spiffeId, write, socket, output } = options;
  checkCombination(options);
  const place = knownPipe(socket);
  if (write === '') throw new UsageError('--write: the directory is empty');
  try {
    if (write === undefined) return await print(await receive(place, spiffeId), output);
    const { watchFiles, writeFiles } = await import('./files-run.ts');
    if (options.watch === true) return await watchFiles(place, { ...options, write });
    const { files, ...identity } = await writeFiles(place, { ...options, write });
    await print([identity], output, { directory: write, files });
  } catch (thrown) {
    const { decision } = thrown as { decision?: string };
    if (decision === undefined) throw thrown;
    const { nearMissOf } = await import('./near-miss.ts');
    const near = await nearMissOf(decision);
    throw near === undefined ? thrown : new Error(`${(thrown as Error).message}\n${near}`, { cause: thrown });
  }
}

/** Over SDS. */
async function receive(place: string, spiffeId: string | undefined): Promise<readonly Identity[]> {
  const { connectPipe } = await import('./pipe-client.ts');
  const { identityOf } = await import('./identity.ts');
  const client = connectPipe(place);
  try {
    const secrets = await client.fetch(spiffeId === undefined ? [] : [spiffeId]);
    const identities = secrets.flatMap((secret) => identityOf(secret) ?? []);
    if (identities.length === 0) throw new Error(`${place}: the server gave this process no identity`);
    return identities;
  } finally {
    client.close();
  }
}

/** @param written the directory and the names of its files */
async function print(
  identities: readonly Identity[],
  output: OutputFormat,
  written?: { readonly directory: string; readonly files: readonly string[] },
): Promise<void> {
  const { leafOf } = await import('./identity.ts');
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
    value: { identities: rows, ...(written === undefined ? {} : { written: written.directory }) },
    names: rows.map((row) => row.spiffe_id),
    table: () => {
      const cells = rows.map((row) => [row.spiffe_id, row.serial, row.not_before, row.not_after]);
      printTable(['SPIFFE ID', 'SERIAL', 'NOT BEFORE', 'NOT AFTER'], cells);
      if (written !== undefined)
        printFields([['written', written.files.map((file) => `${written.directory}/${file}`)]]);
    },
  });
}
