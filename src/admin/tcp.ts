/** Where the admin API may listen on TCP. TLS is not built in, so beyond loopback something else must protect it. */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, BlockList, isIPv6 } from 'node:net';
import { SidekeyError } from '../base/errors.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * Listens on `host:port` (port 0: a free one). @throws ERR_CONFIG when the host is not a loopback one and `insecure`
 * is false; ERR_SOCKET when it can't listen
 */
export async function listenOnTcp(
  server: Server,
  { host, port, insecure }: { readonly host: string; readonly port: number; readonly insecure: boolean },
): Promise<AddressInfo> {
  const failed = (thrown: unknown) =>
    new SidekeyError('ERR_SOCKET', `--admin-listen ${host}:${port}: ${(thrown as Error).message}`, { cause: thrown });
  // What was looked at is what is listened on: the name is resolved once.
  const { address } = await lookup(host).catch((thrown: unknown) => Promise.reject(failed(thrown)));
  if (!insecure && !isLoopback(address)) {
    throw SidekeyError.badInput(
      [
        {
          path: '--admin-listen',
          problem: `${host} is not a loopback address, and the admin API speaks clear text`,
          rule: 'listen on 127.0.0.1, or say --admin-insecure-listen where something else protects the connection',
        },
      ],
      'ERR_CONFIG',
    );
  }
  server.listen({ host: address, port });
  await once(server, 'listening').catch((thrown: unknown) => Promise.reject(failed(thrown)));
  return server.address() as AddressInfo;
}

function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
