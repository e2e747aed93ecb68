/**
 * Checks a running Envoy: compares its secrets with those that Sidekey has sent, and the authorities that it trusts with
 * those of Sidekey and of the servers that it connects to.
 */

import type { ProxyJson, SecretJson } from '../admin/index.ts';
import { type Finding, shellQuote } from '../base/index.ts';
import type { CheckResult } from './check.ts';
import { judgePeers, type OwnAuthority } from './envoy-peers.ts';
import { judgePipes } from './envoy-pipes.ts';
import { idsOf } from './envoy-secrets.ts';
import { adminUrl, type EnvoySecret, type EnvoyState, plainSerial, readEnvoyState } from './envoy-state.ts';
import { judgeTicketKeys } from './envoy-tickets.ts';

const NO_STREAM = 'envoy-no-stream';

/** What the server knows about the proxies with a node id. */
export interface ServerView {
  readonly proxies: readonly ProxyJson[];
  readonly own: OwnAuthority;
  /** The path of its pipe. */
  readonly pipe: string;
}

/** Asks the server; `unknown` says why that is not possible. */
export type Lookup = (nodeId: string) => Promise<ServerView | { readonly unknown: string }>;

export function checkRunningEnvoy(url: string, lookup: Lookup, now: number): Promise<CheckResult> {
  return check(url, withoutPassword(url), lookup, now);
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.username === '' && shown.password === '') return url;
  shown.username = '';
  shown.password = '';
  return shown.href;
}

/** @param place the URL in findings */
async function check(url: string, place: string, lookup: Lookup, now: number): Promise<CheckResult> {
  let envoy: EnvoyState;
  try {
    envoy = await readEnvoyState(url);
  } catch (thrown) {
    const problem = `no Envoy answers at this address: ${(thrown as Error).message}`;
    const why = 'its secrets can not be compared';
    const fix = 'give the address from admin: in its bootstrap, and start the Envoy if it does not run';
    return { findings: [{ rule: 'envoy-unreachable', severity: 'error', place, problem, why, fix }], skipped: [] };
  }
  const expired = expiredOf(envoy, place, now);
  const server = await lookup(envoy.nodeId);
  const isKnown = !('unknown' in server);
  const peers = await judgePeers(envoy, isKnown ? server.own : undefined, place);
  const pipes = judgePipes(envoy.pipes, url, place, isKnown ? server.pipe : undefined);
  const tickets = judgeTicketKeys(envoy.withTicketKeys, place);
  const later = [...pipes.skipped, ...peers.skipped];
  if (!isKnown) {
    const skipped = [{ what: `what the server has sent to ${envoy.nodeId}`, why: server.unknown }, ...later];
    const waiting = envoy.secrets.flatMap((secret) => alone(secret, place));
    return { findings: [...pipes.findings, ...expired, ...waiting, ...peers.findings, ...tickets], skipped };
  }
  const sent = server.proxies.flatMap(({ streams }) => streams.flatMap(({ secrets }) => secrets));
  const compared = envoy.secrets.flatMap((secret) => compare(secret, envoy, sent, place, server));
  // If the Envoy can't open the pipe, that explains every secret that it has not requested from this server.
  const isCutOff = pipes.findings.length > 0 && envoy.pipes.every(({ open }) => open === 0);
  const findings = isCutOff ? compared.filter(({ rule }) => rule !== NO_STREAM) : compared;
  const all = [...pipes.findings, ...findings, ...expired, ...peers.findings, ...tickets];
  return { findings: all, skipped: later };
}

/** Reports expired certificates, which Envoy keeps presenting. */
function expiredOf({ certificates }: EnvoyState, place: string, now: number): Finding[] {
  return [...certificates].flatMap(([serial, { spiffeId, ends }]): Finding[] => {
    if (Date.parse(ends) > now) return [];
    const problem = `it presents a certificate of ${spiffeId || 'somebody'} (serial ${serial}) that ended at ${ends}`;
    const why = 'no peer accepts it: "CERTIFICATE_VERIFY_FAILED: certificate has expired"';
    const fix = 'sidekey proxies --check says why it has no new one; if the Envoy is not listed there, restart it';
    return [{ rule: 'envoy-expired', severity: 'error', place, problem, why, fix }];
  });
}

/** Findings about a secret if no Sidekey server answers. */
function alone({ name, warming }: EnvoySecret, place: string): Finding[] {
  if (!warming) return [];
  const problem = `it waits for ${name}`;
  const why = 'its listeners reset connections until it has the secret: "Secret is not supplied by SDS"';
  return [{ rule: 'envoy-waits', severity: 'error', place, problem, why, fix: 'start sidekey serve' }];
}

function compare(
  secret: EnvoySecret,
  envoy: EnvoyState,
  sent: readonly SecretJson[],
  place: string,
  { pipe, own }: Pick<ServerView, 'pipe' | 'own'>,
): Finding[] {
  const { name } = secret;
  if (secret.isFromFile) return [];
  const ours = sent.filter((one) => one.name === name);
  const [first] = ours;
  if (first === undefined) return [notAskedHere(secret, envoy, sent, place, pipe)];
  const held = ours.find((one) => one.held !== null)?.held;
  if (held !== undefined && held !== null) {
    return [
      secret.warming || NEVER.includes(held.reason)
        ? waits(secret, held, envoy, place)
        : keeps(ours, held, envoy, place, own),
    ];
  }
  const rejection = ours.find((one) => one.rejection !== null)?.rejection;
  if (rejection !== undefined && rejection !== null) {
    const by = ours.flatMap(({ authority_id: id }) => id ?? []);
    const problem = `it has rejected ${name}${by.length === 0 ? '' : `, issued by the authority ${by[0]}`}: ${rejection.message}`;
    const why = 'it keeps using its previous secret until that ends; a NACK may blame the wrong secret of a listener';
    const fix = `sidekey proxies --name ${shellQuote(name)}; the server sends a new certificate`;
    return [{ rule: 'envoy-rejects', severity: 'error', place, problem, why, fix }];
  }
  if (
    first.serial === null ||
    ours.some((one) => one.serial !== null && envoy.certificates.has(plainSerial(one.serial)))
  )
    return [];
  const problem = `its certificate for ${name} is not the one that it was sent (serial ${first.serial})`;
  const why =
    'it acknowledged a certificate that it does not use, or none of its listeners and clusters uses the secret';
  const fix = `curl ${shellQuote(adminUrl(place, '/certs').href)}; if its listener shows no certificate of ${name}, restart the Envoy`;
  return [{ rule: 'envoy-differs', severity: 'warning', place, problem, why, fix }];
}

/** Reports that the Envoy has no stream for the secret on this server; the Envoy's state says why. */
function notAskedHere(
  { name, warming, attempts, connected }: EnvoySecret,
  envoy: EnvoyState,
  sent: readonly SecretJson[],
  place: string,
  pipe: string,
): Finding {
  const others = envoy.secrets.filter((one) => one.warming && one.attempts !== 0).map((one) => one.name);
  if (warming && attempts === 0 && envoy.state !== 'LIVE') {
    const first = others.length === 0 ? 'its clusters' : others.join(', ');
    return {
      rule: 'envoy-not-asked',
      severity: 'warning',
      place,
      problem: `it is ${envoy.state}, and has not asked for ${name} yet`,
      why: `Envoy initializes its clusters first, and its listeners after them: it waits for ${first}`,
      fix:
        others.length === 0
          ? `curl ${shellQuote(adminUrl(place, '/init_dump').href)}`
          : `see why it waits for ${first}`,
    };
  }
  const has = warming ? 'it waits for' : 'it holds';
  const head = { rule: NO_STREAM, severity: 'error', place } as const;
  const pipes = pipesText(envoy);
  if (connected === true) {
    const problem = `${has} ${name}, and its stream for it is open, but not on this server`;
    const why = `it asks another server, which ${warming ? 'has not sent it' : 'sends it'} this secret${pipes}`;
    const fix = `if this server is meant, its SDS cluster has to lead to the pipe of this server, ${pipe}; if the other one is, ask that: sidekey doctor --admin-socket PATH --envoy-admin …`;
    return { ...head, problem, why, fix };
  }
  const isElsewhere = sent.length > 0 ? '; other secrets it gets from this server' : '';
  return {
    ...head,
    problem: `${has} ${name}, but has no stream for it on this server`,
    why: `it gets no update: it asks another server, or its stream ended and it has not reconnected yet${isElsewhere}${pipes}`,
    fix: `sidekey proxies --node ${shellQuote(envoy.nodeId)}; its SDS cluster has to lead to the pipe of this server, ${pipe}`,
  };
}

/** The path (as the Envoy sees it) and connection state of each cluster with a Unix socket. */
function pipesText({ pipes }: EnvoyState): string {
  const told = pipes.map(({ cluster, path, open, failed }) => {
    const state = open > 0 ? 'connected' : failed > 0 ? `${failed} connections failed` : 'no connection';
    return `its cluster ${cluster} leads to ${path}: ${state}`;
  });
  return told.length === 0 ? '' : ` (${told.join('; ')})`;
}

/** Reasons of holds that end only if the bootstrap requests another name. */
const NEVER: readonly string[] = ['unknown-name', 'foreign-id'];

function recordOf({ decision }: NonNullable<SecretJson['held']>): string {
  return decision === null ? 'wait: the server is looking it up' : `sidekey explain ${decision}`;
}

/** Remedies for holds that do not depend on the caller's facts, by reason: a decision record would not help there. */
const WAYS_OUT: Readonly<Record<string, (name: string) => string>> = {
  'no-bundle': (name) =>
    `get the bundle from the operator of that trust domain: sidekey bundle set ${shellQuote(domainOf(name))} --file BUNDLE; or let the server fetch it (sidekey federation create)`,
  'not-federated': (name) =>
    `let an entry of this Envoy federate with it (with all its other domains): sidekey entry update ID --federates-with ${shellQuote(domainOf(name))}`,
};

function domainOf(name: string): string {
  return name.replace(/^spiffe:\/\//, '');
}

function waits(
  { name, warming }: EnvoySecret,
  held: NonNullable<SecretJson['held']>,
  { state }: EnvoyState,
  place: string,
): Finding {
  const problem = `it ${warming ? 'waits for' : 'gets no update of'} ${name}: ${held.reason}: ${held.detail}`;
  if (NEVER.includes(held.reason)) {
    const closed =
      state === 'LIVE' ? '' : ` It is ${state}: until initial_fetch_timeout is over (0s: for ever), no listener opens.`;
    return {
      rule: 'envoy-unknown-name',
      severity: 'error',
      place,
      problem,
      why: `the secret never arrives.${closed}`,
      fix:
        held.reason === 'foreign-id'
          ? 'ask for a SPIFFE ID of the trust domain of this server, or ask the server of the other one'
          : `sds_config: { path_config_source: { path: … } } for this secret in its bootstrap; or, if it is a certificate: sidekey alias set ${shellQuote(name)} spiffe://…`,
    };
  }
  const why = 'its listeners reset connections until it has the secret: "Secret is not supplied by SDS"';
  const fix = WAYS_OUT[held.reason]?.(name) ?? recordOf(held);
  return { rule: 'envoy-waits', severity: 'error', place, problem, why, fix };
}

/** A held name whose former secret the Envoy has and uses. */
function keeps(
  ours: readonly SecretJson[],
  held: NonNullable<SecretJson['held']>,
  envoy: EnvoyState,
  place: string,
  own: OwnAuthority,
): Finding {
  const [{ name }] = ours as readonly [SecretJson];
  const fix = WAYS_OUT[held.reason]?.(name) ?? recordOf(held);
  const head = { place, problem: `it gets no update of ${name}: ${held.reason}: ${held.detail}`, fix } as const;
  const ids = ours.flatMap(({ spiffe_id: id }) => id ?? []).concat(name);
  const [certificate] = [...envoy.certificates.values()].filter(({ spiffeId }) => ids.includes(spiffeId));
  if (certificate !== undefined) {
    const why = `it uses the former certificate until ${certificate.ends}; then no peer accepts it: "CERTIFICATE_VERIFY_FAILED: certificate has expired"`;
    return { rule: 'envoy-not-renewed', severity: 'error', ...head, why };
  }
  const trusted = idsOf(envoy.roots.get(own.trustDomain) ?? envoy.roots.get('') ?? []);
  const isOwn = name === `spiffe://${own.trustDomain}` || name === own.bundleName;
  const present = [...own.roots, ...(own.carried ?? [])];
  const isPresent = isOwn && own.roots.length > 0 && present.every((id) => trusted.includes(id));
  const why = isPresent
    ? 'the trust bundle that it uses is still the present one; it does not get the next one'
    : 'it uses the former one, and does not get changes of it';
  return { rule: 'envoy-not-renewed', severity: isPresent ? 'warning' : 'error', ...head, why };
}
