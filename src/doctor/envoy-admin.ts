/** The check of a running Envoy: compares its secrets with those that the server has sent. */

import type { ProxyJson, SecretJson } from '../admin/proxy-schema.ts';
import type { Clock } from '../base/clock.ts';
import type { Finding } from '../base/finding.ts';
import { shellQuote } from '../base/shell.ts';
import type { Check, Outcome } from './check.ts';
import { adminUrl, type EnvoySecret, type EnvoyState, plainSerial, readEnvoyState } from './envoy-state.ts';

/** Finds the proxies with a node id; `unknown` says why that is not possible. */
export type Lookup = (nodeId: string) => Promise<readonly ProxyJson[] | { readonly unknown: string }>;

export function envoyAdminCheck(url: string, lookup: Lookup, clock: Clock): Check {
  return { name: 'envoy-admin', run: () => check(url, withoutPassword(url), lookup, clock.now()) };
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.username === '' && shown.password === '') return url;
  shown.username = '';
  shown.password = '';
  return shown.href;
}

/** @param place the URL in findings */
async function check(url: string, place: string, lookup: Lookup, now: number): Promise<Outcome> {
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
  const proxies = await lookup(envoy.nodeId);
  if ('unknown' in proxies) {
    const skipped = [{ what: `what the server has sent to ${envoy.nodeId}`, why: proxies.unknown }];
    return { findings: [...expired, ...envoy.secrets.flatMap((secret) => alone(secret, place))], skipped };
  }
  const sent = proxies.flatMap(({ streams }) => streams.flatMap(({ secrets }) => secrets));
  const findings = envoy.secrets.flatMap((secret) => compare(secret, envoy, sent, place));
  return { findings: [...findings, ...expired], skipped: [] };
}

/** Envoy keeps serving an expired certificate. */
function expiredOf({ certificates }: EnvoyState, place: string, now: number): Finding[] {
  return [...certificates].flatMap(([serial, { spiffeId, ends }]): Finding[] => {
    if (Date.parse(ends) > now) return [];
    const problem = `it presents a certificate of ${spiffeId || 'somebody'} (serial ${serial}) that ended at ${ends}`;
    const why = 'no peer accepts it: "CERTIFICATE_VERIFY_FAILED: certificate has expired"';
    const fix = 'sidekey proxies --check says why it has no new one; if the Envoy is not listed there, restart it';
    return [{ rule: 'envoy-expired', severity: 'error', place, problem, why, fix }];
  });
}

/** Findings if no server answers. */
function alone({ name, warming }: EnvoySecret, place: string): Finding[] {
  if (!warming) return [];
  const problem = `it waits for ${name}`;
  const why = 'its listeners reset connections until it has the secret: "Secret is not supplied by SDS"';
  return [{ rule: 'envoy-waits', severity: 'error', place, problem, why, fix: 'start sidekey serve' }];
}

function compare(secret: EnvoySecret, envoy: EnvoyState, sent: readonly SecretJson[], place: string): Finding[] {
  const { name, warming } = secret;
  const ours = sent.filter((one) => one.name === name);
  const [first] = ours;
  if (first === undefined) {
    const problem = `${warming ? 'it waits for' : 'it holds'} ${name}, but has no stream for it on this server`;
    const why = 'it gets no update: it asks another server, or its stream ended and it has not reconnected yet';
    const fix = `sidekey proxies --node ${shellQuote(envoy.nodeId)}; compare the path of its SDS cluster with the server's --socket`;
    return [{ rule: 'envoy-no-stream', severity: 'error', place, problem, why, fix }];
  }
  const held = ours.find((one) => one.held !== null)?.held;
  if (held !== undefined && held !== null) {
    const problem = `it ${warming ? 'waits for' : 'holds an old'} ${name}: ${held.reason}: ${held.detail}`;
    const why = 'its listeners reset connections until it has the secret: "Secret is not supplied by SDS"';
    const fix = held.decision === null ? 'wait: the server is looking it up' : `sidekey explain ${held.decision}`;
    return [{ rule: 'envoy-waits', severity: 'error', place, problem, why, fix }];
  }
  const rejection = ours.find((one) => one.rejection !== null)?.rejection;
  if (rejection !== undefined && rejection !== null) {
    const problem = `it has rejected ${name}: ${rejection.message}`;
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
