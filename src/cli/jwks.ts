/** `sidekey jwks`: the keys that verify JWT-SVIDs, for people who host the file of an OIDC provider themselves. */

import type { Command } from 'commander';
import { printData, printJson, REPORT_FORMATS } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addJwksCommand(program: Command): void {
  const jwks = program
    .command('jwks')
    .description('print the keys that verify JWT-SVIDs as a JWK set, as an OIDC provider publishes it at its jwks_uri');
  addClientOptions(jwks, REPORT_FORMATS).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const value = await client.getJwks();
    if (options.output === 'yaml') await printData('yaml', value);
    else printJson(value);
  });
}
