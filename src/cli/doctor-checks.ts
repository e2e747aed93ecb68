/** Chooses the checks of `sidekey doctor` and gets their input. */

import type { DoctorJson } from '../admin/index.ts';
import { findListener } from '../attest/index.ts';
import { type Finding, SystemClock } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import {
  type Check,
  serverChecks as checksOfServer,
  envoyAdminCheck,
  envoyFileCheck,
  idsOf,
  judgePrograms,
  judgeProxies,
  type Lookup,
  type Names,
  type ServerView,
  silenceCheck,
  THIS_HOST,
} from '../doctor/index.ts';
import { type KnownServer, STDIN } from '../envoy/index.ts';
import type { EntryJson } from '../registry/index.ts';
import { readBundleRoots } from './bundle-roots.ts';
import { allEntries, entriesOf, placesOf } from './entry.ts';
import { readInput } from './input.ts';
import { waitsForEntry } from './proxy-check.ts';
import { type ProxyRow, readProxies, rowsOf } from './proxy-rows.ts';
import { readTroubles } from './proxy-troubles.ts';
import { type ClientOptions, formerSocketOf, NoTargetError, openClient, pipeOfRoot, socketOf } from './target.ts';

export { runChecks, summary } from '../doctor/index.ts';

export interface DoctorOptions extends ClientOptions {
  readonly envoy?: readonly string[];
  readonly envoyAdmin?: string;
}

/** The checks that the flags ask for; by default those of the server and its host. @throws UsageError */
export async function checksFor({ envoy, envoyAdmin, ...options }: DoctorOptions): Promise<Check[]> {
  if (envoy === undefined && envoyAdmin === undefined) return serverChecks(options);
  return [
    ...(envoy === undefined ? [] : await fileChecks(envoy, options)),
    ...(envoyAdmin === undefined ? [] : envoyChecks(envoyAdmin, options)),
  ];
}

/** Checks of bootstraps. `-` is stdin. @throws UsageError for a file that can't be read */
export async function fileChecks(files: readonly string[], options: ClientOptions): Promise<Check[]> {
  let names: Promise<Names> | undefined;
  const once = () => {
    names ??= namesNow(options);
    return names;
  };
  return Promise.all(
    files.map(async (file) => {
      const text = (await readInput('--envoy', file)).toString('utf8');
      return envoyFileCheck(file === '-' ? STDIN : file, text, once, THIS_HOST);
    }),
  );
}

/** The check of a running Envoy. */
function envoyChecks(url: string, options: ClientOptions): Check[] {
  const lookup: Lookup = (node) => orUnknown(async () => serverView(await openClient(options), node));
  return [envoyAdminCheck(url, lookup, new SystemClock())];
}

/** What the server knows of the proxies with this node id, and of its authorities. @throws AdminError */
export async function serverView(client: AdminClient, node: string): Promise<ServerView> {
  const { proxies } = await readProxies(client, { node });
  const report = await client.getDoctorReport();
  const { trust_domain: trustDomain, socket, sds_names: names } = report;
  const { own, carried } = await readBundleRoots(client);
  const roots = { roots: idsOf(own), carried: idsOf(carried) };
  return { proxies, own: { trustDomain, ...roots, bundleName: names.bundle }, pipe: socket };
}

/** Checks of the server and its host. */
async function serverChecks(options: ClientOptions): Promise<Check[]> {
  const socket = socketOf(options);
  try {
    const client = await openClient(options);
    const known = await client.getDoctorReport();
    const here = socket === undefined ? undefined : { adminSocket: socket, findListener };
    return [...checksOfServer(known, new SystemClock().now(), here), ...listChecks(client, here && known)];
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code !== 'ERR_UNREACHABLE' || socket === undefined) throw thrown;
    return [silenceCheck(socket, process.env, { former: formerSocketOf(options), roots: pipeOfRoot(options) })];
  }
}

/**
 * The checks that read the lists of the server.
 * @param known its report; undefined: this machine is not its host
 */
export function listChecks(client: AdminClient, known: DoctorJson | undefined): Check[] {
  let read: Promise<EntryJson[]> | undefined;
  const entries = () => {
    read ??= entriesOf(client);
    return read;
  };
  const programs = known && (async () => programFindings(client, await entries(), known));
  return [
    ...(programs ? [listCheck('programs', 'whether the programs of entries exist', programs)] : []),
    listCheck('proxies', 'which proxies wait for secrets', () => proxyFindings(client, entries)),
  ];
}

/** A list that can't be read is no reason to leave out the findings of the other checks. */
function listCheck(name: string, what: string, look: () => Promise<Finding[]>): Check {
  return {
    name,
    run: async () => {
      try {
        return { findings: await look(), skipped: [] };
      } catch (thrown) {
        return { findings: [], skipped: [{ what, why: (thrown as Error).message }] };
      }
    },
  };
}

/** @throws AdminError */
async function programFindings(
  client: AdminClient,
  entries: readonly EntryJson[],
  known: DoctorJson,
): Promise<Finding[]> {
  const places = await placesOf(client, entries, known);
  return judgePrograms(entries, ({ id, source }) => ({ source, ...places.get(id) }), known.pid);
}

/** @throws AdminError */
async function proxyFindings(client: AdminClient, entries: () => Promise<EntryJson[]>): Promise<Finding[]> {
  const { rows, troubled } = await readTroubles(client, {}, false, entries);
  const isTroubled = new Set(troubled.map(({ row }) => row));
  const waiting = rows.filter((row) => waitsForEntry(row) && !isTroubled.has(row));
  const told = ({ proxy, secret }: ProxyRow, why: string) => ({
    proxy: proxy.node_id || `pid ${proxy.pid}`,
    name: secret.name,
    why,
  });
  return judgeProxies(
    troubled.map(({ row, trouble }) => told(row, trouble)),
    waiting.map((row) => told(row, row.secret.held!.detail)),
  );
}

/** The facts that a bootstrap is compared with: entries that have not expired, aliases, and facts about the server. */
function namesNow(options: ClientOptions): Promise<Names> {
  return orUnknown(async () => {
    const now = new SystemClock().now();
    const client = await openClient(options);
    const all = await allEntries(options);
    const { aliases } = await client.listAliases();
    const entries = all.filter(({ expires_at }) => expires_at === null || Date.parse(expires_at) > now);
    const places = await placesOf(client, entries);
    return {
      aliases,
      entries: entries.map((entry) => ({ ...entry, declared: { source: entry.source, ...places.get(entry.id) } })),
      server: await knownServer(client),
    };
  });
}

/** @throws AdminError */
async function knownServer(client: AdminClient): Promise<KnownServer> {
  const report = await client.getDoctorReport();
  const { bundles } = await client.listForeignBundles();
  const rows = rowsOf(await readProxies(client, { state: ['held'] }));
  const { default: byDefault, bundle, all_bundles: allBundles } = report.sds_names;
  return {
    trustDomain: report.trust_domain,
    names: { default: byDefault, bundle, allBundles },
    pipe: report.socket,
    bundles: bundles.map(({ trust_domain: domain }) => domain),
    held: rows.flatMap(
      ({ proxy: { node_id: node, pid }, secret: { name, held, version, acked, expires_at: until } }) =>
        node === null || held === null
          ? []
          : [
              {
                node,
                pid,
                name,
                reason: held.reason,
                detail: held.detail,
                has: version !== null || acked !== null,
                until,
              },
            ],
    ),
  };
}

/**
 * The answer, or the reason if no server is reachable. An Envoy is checked without a server too, because it may run on
 * another host.
 */
async function orUnknown<T>(ask: () => Promise<T>): Promise<T | { readonly unknown: string }> {
  try {
    return await ask();
  } catch (thrown) {
    const nobody = thrown instanceof NoTargetError || (thrown as { code?: unknown }).code === 'ERR_UNREACHABLE';
    if (nobody) return { unknown: (thrown as Error).message };
    throw thrown;
  }
}
