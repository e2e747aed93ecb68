/** `sidekey envoy …`: configuration for an Envoy that gets its identity from Sidekey. */

import { accessSync, constants, existsSync } from 'node:fs';
import type { Command } from 'commander';
import { SYSTEM_SOCKET } from '../config/index.ts';
import type { BootstrapFlags } from './bootstrap-flags.ts';
import { wordsAsCalled } from './called-as.ts';
import { defaultPipe, givenPipe, PIPE_DEFAULT, whyUnknown } from './pipe.ts';

export function addEnvoyCommands(program: Command): void {
  const envoy = program.command('envoy').description('make configuration for an Envoy');
  const again = (value: string, before: string[] = []) => [...before, value];
  envoy
    .command('bootstrap')
    .description('print a complete bootstrap for an Envoy with an identity from Sidekey: a server, a client or both')
    .requiredOption('--spiffe-id <id>', 'the SPIFFE ID of this Envoy')
    .option('--listen <host:port>', 'server: accept mTLS at this address')
    .option('--to <host:port>', 'server: forward in clear text to the program at this address')
    .option(
      '--allow <id>',
      'server: accept this SPIFFE ID, or all of spiffe://DOMAIN; repeat for more (default: its own trust domain)',
      again,
    )
    .option(
      '--upstream <name=host:port,id>',
      'client: connect there by mTLS, only if the peer has this SPIFFE ID; repeat for more',
      again,
    )
    .option(
      '--local <name=host:port>',
      'client: the local address of that upstream, in clear text (default: 127.0.0.1:10001 for the first, 10002, …)',
      again,
    )
    .option('--tcp', 'forward bytes unchanged (gRPC, databases, …) instead of HTTP requests')
    .option(
      '--max-connection-duration <duration>',
      'end mTLS connections after this time, so that revoked certificates are refused by then also on open ones',
    )
    .option('--socket <path>', `path of Sidekey's pipe, as Envoy sees it (${PIPE_DEFAULT})`)
    .option('--admin <host:port>', "Envoy's admin interface", '127.0.0.1:9901')
    .addHelpText('after', wordsAsCalled(EXAMPLE))
    .action(async ({ socket, ...flags }: Omit<BootstrapFlags, 'socket'> & { readonly socket?: string }) => {
      const { bootstrapOf } = await import('./bootstrap-flags.ts');
      const given = givenPipe(socket);
      const pipe = given ?? defaultPipe() ?? SYSTEM_SOCKET;
      const text = bootstrapOf({ ...flags, socket: pipe });
      // It is only a warning: the bootstrap may be for another user or host, or for a server that is not started yet.
      const problem = given === undefined ? problemOf(pipe) : undefined;
      if (problem !== undefined) {
        process.stderr.write(
          `sidekey: warning: the bootstrap names the pipe ${pipe}, ${problem}: give --socket with the path that this Envoy sees\n`,
        );
      }
      process.stdout.write(text);
    });
}

/** What is wrong with a pipe that nobody has named. */
function problemOf(pipe: string): string | undefined {
  if (!existsSync(pipe)) return `which does not exist here${whyUnknown()}`;
  try {
    accessSync(pipe, constants.W_OK);
    return undefined;
  } catch {
    return 'to which this user may not connect; another user may, but if a server of this user is meant, its pipe has another path';
  }
}

const EXAMPLE = `
Examples:
  sidekey envoy bootstrap --spiffe-id spiffe://example.org/db --listen 0.0.0.0:8443 --to 127.0.0.1:5432 --tcp \\
    --allow spiffe://example.org/web > db.yaml
  sidekey envoy bootstrap --spiffe-id spiffe://example.org/web --upstream db=10.0.0.7:8443,spiffe://example.org/db \\
    --local db=127.0.0.1:5432 --tcp > web.yaml
`;
