/** Which checks `sidekey doctor` makes, and where what they need comes from. */

import type { AliasJson, DoctorJson, ProxyPageJson } from '../admin/client.ts';
import { SystemClock } from '../base/clock.ts';
import type { Check } from '../doctor/check.ts';
import type { Names } from '../doctor/envoy-file.ts';
import { allEntries } from './entry.ts';
import { readInput } from './input.ts';
import { type ClientOptions, openClient, socketOf } from './target.ts';

/** Of bootstraps. `-` is stdin. @throws UsageError for a file that can't be read */
export async function fileChecks(files: readonly string[], options: ClientOptions): Promise<Check[]> {
  const { envoyFileCheck } = await import('../doctor/envoy-file.ts');
  let names: Promise<Names> | undefined;
  const once = () => {
    names ??= namesNow(options);
    return names;
  };
  return Promise.all(
    files.map(async (file) => {
      const text = (await readInput('--envoy', file)).toString('utf8');
      return envoyFileCheck(file === '-' ? 'stdin' : file, text, once);
    }),
  );
}

/** Of an Envoy that runs. */
export async function envoyChecks(url: string, options: ClientOptions): Promise<Check[]> {
  const { envoyAdminCheck } = await import('../doctor/envoy-admin.ts');
  const proxies = async (node: string) => {
    const client = await openClient(options);
    const page = await client.json<ProxyPageJson>('GET', `/v1/proxies?${new URLSearchParams({ node })}`);
    return page.proxies;
  };
  return [envoyAdminCheck(url, proxies, new SystemClock())];
}

/** Of the server and its host. */
export async function serverChecks(options: ClientOptions): Promise<Check[]> {
  const { serverChecks: checks, silenceCheck } = await import('../doctor/server.ts');
  const socket = socketOf(options);
  try {
    const known = await (await openClient(options)).json<DoctorJson>('GET', '/v1/doctor');
    return checks(known, new SystemClock().now(), socket !== undefined);
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code !== 'ERR_UNREACHABLE' || socket === undefined) throw thrown;
    return [silenceCheck(socket)];
  }
}

/** Entries that have not expired, and aliases. A server that isn't there is no failure: a bootstrap is written anywhere. */
async function namesNow(options: ClientOptions): Promise<Names> {
  try {
    const now = new SystemClock().now();
    const entries = await allEntries(options, new URLSearchParams());
    const { aliases } = await (await openClient(options)).json<{ aliases: readonly AliasJson[] }>('GET', '/v1/aliases');
    return {
      aliases,
      entries: entries.filter(({ expires_at }) => expires_at === null || Date.parse(expires_at) > now),
    };
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === 'ERR_UNREACHABLE') return { unknown: (thrown as Error).message };
    throw thrown;
  }
}
