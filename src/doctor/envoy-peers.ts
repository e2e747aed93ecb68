/** Finds out which authority issued the certificates of servers that an Envoy refuses, by asking these servers. */

import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import type { Finding } from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';
import { describeMatchers, fits } from './envoy-names.ts';
import { idsOf, type TrustedRoots } from './envoy-secrets.ts';
import type { Endpoint, EnvoyState, RefusedClients, RefusedServers } from './envoy-state.ts';
import { keyIds } from './key-ids.ts';

/** The trust domain and roots of the Sidekey server that doctor asks. */
export interface OwnAuthority {
  readonly trustDomain: string;
  /** Key identifiers of the server's roots in its bundle. */
  readonly roots: readonly string[];
  /** Those of the carried roots of another server in its bundle. */
  readonly carried?: readonly string[];
  /** The reserved name of the own trust bundle. */
  readonly bundleName?: string;
}

const TIMEOUT_MS = 3_000;
/** Maximum numbers of clusters, and of endpoints per cluster, that are asked. */
const MAX_CLUSTERS = 5;
const MAX_ENDPOINTS = 2;

/** @param own undefined if no server answers @param place the Envoy's URL */
export async function judgePeers(
  envoy: EnvoyState,
  own: OwnAuthority | undefined,
  place: string,
): Promise<CheckResult> {
  const others = judgeOwnRoots(envoy, own, place);
  const findings: Finding[] = [...others, ...judgeClients(envoy, place), ...judgeRefusals(envoy, place)];
  // An Envoy of another Sidekey gets nothing from this one, so that its roots explain nothing.
  const asked = others.length > 0 ? undefined : own;
  const skipped: Skipped[] = [];
  for (const refused of envoy.refusedServers.slice(0, MAX_CLUSTERS)) {
    for (const endpoint of refused.endpoints.slice(0, MAX_ENDPOINTS)) {
      const at = `${endpoint.host}:${endpoint.port}`;
      try {
        const chain = await presentedChain(endpoint, refused.sni);
        findings.push(...judgeServer(chain, { refused, at, place }, envoy.roots, asked));
      } catch (thrown) {
        const why = (thrown as Error).message;
        skipped.push({ what: `who issued the certificate of ${at}, which cluster ${refused.cluster} refuses`, why });
      }
    }
  }
  return { findings, skipped };
}

/** Reports an Envoy that trusts none of the server's roots: it gets its bundle from another Sidekey. */
function judgeOwnRoots({ roots }: EnvoyState, own: OwnAuthority | undefined, place: string): Finding[] {
  const trusted = own === undefined ? [] : (roots.get(own.trustDomain) ?? []);
  const ids = idsOf(trusted);
  if (own === undefined || own.roots.length === 0 || ids.length === 0 || own.roots.some((id) => ids.includes(id)))
    return [];
  return [
    {
      rule: 'envoy-other-authority',
      severity: 'error',
      place,
      problem: `for ${own.trustDomain} it trusts ${names(ids)}, and the roots of this server are ${names(own.roots)}`,
      why: 'it gets its trust bundle from another Sidekey of the same trust domain, and refuses the workloads of this one',
      fix: ONE_AUTHORITY,
    },
  ];
}

const ONE_AUTHORITY =
  'two Sidekeys issue for one trust domain with different roots: let all Envoys that talk to each other ask the same Sidekey, or give each Sidekey a trust domain of its own and federate them; if one was set up anew, restore its data directory from a backup';

function judgeClients({ refusedClients, roots }: EnvoyState, place: string): Finding[] {
  return refusedClients.flatMap((one) => [
    ...(one.count > 0 ? [clientsWithoutRoot(one, roots, place)] : []),
    ...(one.byName > 0 ? [clientsByName(one, place)] : []),
  ]);
}

function clientsByName({ listener, byName, accepts }: RefusedClients, place: string): Finding {
  return {
    rule: 'envoy-clients-by-name',
    severity: 'warning',
    place,
    problem: `since its start its listener ${listener} refused ${byName} ${byName === 1 ? 'client' : 'clients'} because of their SPIFFE ID`,
    why: accepts.length === 0 ? 'it accepts other names' : `its listeners accept ${describeMatchers(accepts)}`,
    fix: 'if such a client is meant to be accepted, add its SPIFFE ID to the bootstrap (sidekey envoy bootstrap --allow ID; match_typed_subject_alt_names)',
  };
}

function clientsWithoutRoot({ listener, count }: RefusedClients, roots: TrustedRoots, place: string): Finding {
  const trusted = [...roots].map(([domain, all]) => `${domain || 'any domain'}: ${names(idsOf(all))}`).join('; ');
  return {
    rule: 'envoy-clients-refused',
    severity: 'info',
    place,
    problem: `since its start its listener ${listener} refused ${count} ${count === 1 ? 'client' : 'clients'}: no root that it trusts issued their certificate, or they sent none`,
    why: `it trusts ${trusted || 'no root'}`,
    fix: 'run sidekey doctor --envoy-admin for the Envoy of such a client: its certificate has to be issued under one of these roots',
  };
}

/**
 * Reports handshakes that the servers of clusters ended. Mostly they refuse the certificate of this Envoy, and only they
 * know why.
 */
function judgeRefusals({ endedByServer, certificates }: EnvoyState, place: string): Finding[] {
  const own = [...new Set([...certificates.values()].map(({ spiffeId }) => spiffeId))].filter(Boolean);
  return endedByServer.map(({ cluster, count, endpoints }): Finding => {
    const at = endpoints.map(({ host, port }) => `${host}:${port}`).join(', ');
    return {
      rule: 'envoy-refused',
      severity: 'warning',
      place,
      problem: `cluster ${cluster}: since its start ${count} TLS ${count === 1 ? 'handshake' : 'handshakes'} with ${at || 'its servers'} failed, and not because this Envoy refused the server`,
      why: `the server may not accept ${own.join(' or ') || 'this Envoy'}, not trust its root, or not have its own certificate yet: requests end with 503, or connections are reset`,
      fix: "run sidekey doctor --envoy-admin for the server's Envoy, which says what it accepts (sidekey envoy bootstrap --allow ID)",
    };
  });
}

interface Where {
  readonly refused: RefusedServers;
  readonly at: string;
  readonly place: string;
}

function judgeServer(
  chain: readonly X509Certificate[],
  { refused, at, place }: Where,
  roots: TrustedRoots,
  own: OwnAuthority | undefined,
): Finding[] {
  const spiffeId = /URI:(spiffe:\/\/[^,\s]+)/.exec(chain[0]?.subjectAltName ?? '')?.[1];
  const domain = spiffeId?.split('/')[2] ?? '';
  const trusted = [...(roots.get(domain) ?? []), ...(roots.get('') ?? [])];
  if (chain.length === 0) return [];
  if (isIssuedUnder(chain, trusted)) return judgeName(chain[0]!, spiffeId, { refused, at, place });
  const issuer = keyIds(chain.at(-1)!).issuer;
  const met = issuer ?? chain.at(-1)!.issuer.replaceAll('\n', ', ');
  const inBundle = own === undefined ? [] : [...own.roots, ...(own.carried ?? [])];
  const isOurs = issuer !== undefined && inBundle.includes(issuer);
  const head = { severity: 'error', place } as const;
  const who = `cluster ${refused.cluster}: the server at ${at} presents ${spiffeId ?? 'a certificate without a SPIFFE ID'}`;
  if (trusted.length === 0) {
    return [
      {
        ...head,
        rule: 'envoy-issuer',
        problem: `${who}, issued under the root ${met}, and this Envoy has no root of ${domain || 'its trust domain'}`,
        why: `it refused the server ${refused.count} times: requests end with 503`,
        fix: `set the bundle of ${domain || 'that trust domain'} (sidekey bundle set), and let an entry of this Envoy federate with it`,
      },
    ];
  }
  return [
    {
      ...head,
      rule: 'envoy-issuer',
      problem: `${who}, issued under the root ${met}, and this Envoy trusts ${names(idsOf(trusted))}`,
      why: `it refused the server ${refused.count} times: requests end with 503${isOurs ? '; the root is in the bundle of this server, and the Envoy has not got it yet' : own === undefined ? '' : '; the root is not in the bundle of this server either'}`,
      fix: isOurs ? 'sidekey proxies --check says why the Envoy has an old bundle' : ONE_AUTHORITY,
    },
  ];
}

/** Reports a server whose certificate has none of the names that the Envoy accepts. */
function judgeName(
  { subjectAltName = '' }: X509Certificate,
  spiffeId: string | undefined,
  { refused, at, place }: Where,
): Finding[] {
  const { accepts, byName, cluster } = refused;
  const presented = subjectAltName.split(', ').map((name) => name.replace(/^(?:URI|DNS|IP Address):/, ''));
  // A rule that can't be checked here may accept the server.
  const isAccepted = accepts.some((one) => presented.some((name) => fits(name, one) ?? true));
  if (byName === 0 || accepts.length === 0 || isAccepted) return [];
  return [
    {
      rule: 'envoy-peer-name',
      severity: 'error',
      place,
      problem: `cluster ${cluster}: the server at ${at} is ${spiffeId ?? presented.join(', ')}, and this Envoy accepts only ${describeMatchers(accepts)}`,
      why: `it refused the server ${byName} times: requests end with 503, and connections are reset`,
      fix: `if this is the server that is meant, correct the SPIFFE ID in the bootstrap (sidekey envoy bootstrap --upstream NAME=${at},${spiffeId ?? 'ID'}; match_typed_subject_alt_names)`,
    },
  ];
}

function names(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : `${ids.length === 1 ? 'the root' : 'the roots'} ${ids.join(', ')}`;
}

/** Whether each certificate of the chain is issued by the next, and the last one by a root or is a root itself. */
function isIssuedUnder(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): boolean {
  const isIssuedBy = (one: X509Certificate, by: X509Certificate) => one.checkIssued(by) && one.verify(by.publicKey);
  const hangs = chain.slice(1).every((by, at) => isIssuedBy(chain[at]!, by));
  return hangs && roots.some((root) => isIssuedBy(chain.at(-1)!, root) || chain.at(-1)!.raw.equals(root.raw));
}

/** The certificates that a server presents, leaf first. Sends the server no certificate and no data. */
async function presentedChain({ host, port }: Endpoint, sni: string | undefined): Promise<X509Certificate[]> {
  // The certificate is only read, so it need not be trusted.
  const socket = tls.connect({
    host,
    port,
    rejectUnauthorized: false,
    ...(sni === undefined ? {} : { servername: sni }),
  });
  try {
    return await new Promise<X509Certificate[]>((resolve, reject) => {
      const give = () => {
        const chain = chainOf(socket);
        return chain.length > 0 && resolve(chain);
      };
      socket.setTimeout(TIMEOUT_MS, () => reject(new Error(`no answer in ${TIMEOUT_MS / 1_000} s`)));
      socket.once('secureConnect', () => give() || reject(new Error('it presents no certificate')));
      // A server that fails the handshake because it demands a client certificate has presented its own before.
      socket.once('error', (error) => give() || reject(error));
    });
  } finally {
    socket.destroy();
  }
}

function chainOf(socket: tls.TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerCertificate(true) as tls.DetailedPeerCertificate | undefined;
  const seen = new Set<string>();
  while (next?.raw !== undefined && !seen.has(next.fingerprint256)) {
    seen.add(next.fingerprint256);
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}
