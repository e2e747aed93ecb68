/** The check of an Envoy that runs: what it holds, beside what the server has sent it. */

import type { ProxyJson, SecretJson } from '../admin/proxy-schema.ts';
import type { Clock } from '../base/clock.ts';
import type { Finding } from '../base/finding.ts';
import { shellQuote } from '../base/shell.ts';
import type { Check, Outcome } from './check.ts';
import { adminUrl, type EnvoySecret, type EnvoyState, plainSerial, readEnvoyState } from './envoy-state.ts';

/** Looks the proxies up that have a node id; `unknown` says why that can't be. */
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

/** @param place the URL as it is shown */
async function check(url: string, place: string, lookup: Lookup, now: number): Promise<Outcome> {
  let envoy: EnvoyState;
  try {
    envoy = await readEnvoyState(url);
  } catch (thrown) {
    const problem = `no Envoy answers there: ${(thrown as Error).message}`;
    const why = 'what it holds is not known';
    const fix = 'give the address of admin: in its bootstrap, and start it if it does not run';
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

/** A certificate that is over is served all the same. */
function expiredOf({ certificates }: EnvoyState, place: string, now: number): Finding[] {
  return [...certificates].flatMap(([serial, { spiffeId, ends }]): Finding[] => {
    if (Date.parse(ends) > now) return [];
    const problem = `it presents a certificate of ${spiffeId || 'somebody'} (serial ${serial}) that ended at ${ends}`;
    const why = 'no peer accepts it: "CERTIFICATE_VERIFY_FAILED: certificate has expired"';
    const fix = 'sidekey proxies --check says why it has no new one; where it is not in there, restart the Envoy';
    return [{ rule: 'envoy-expired', severity: 'error', place, problem, why, fix }];
  });
}

/** Without a server to ask. */
function alone({ name, warming }: EnvoySecret, place: string): Finding[] {
  if (!warming) return [];
  const problem = `it waits for ${name}`;
  const why = 'its listeners reset connections until it is there: "Secret is not supplied by SDS"';
  return [{ rule: 'envoy-waits', severity: 'error', place, problem, why, fix: 'start sidekey serve' }];
}

function compare(secret: EnvoySecret, envoy: EnvoyState, sent: readonly SecretJson[], place: string): Finding[] {
  const { name, warming } = secret;
  const ours = sent.filter((one) => one.name === name);
  const [first] = ours;
  if (first === undefined) {
    const problem = `${warming ? 'it waits for' : 'it holds'} ${name}, and has no stream for it on this server`;
    const why = 'it gets no new one: it asks somewhere else, or its stream ended and it has not come back yet';
    const fix = `sidekey proxies --node ${shellQuote(envoy.nodeId)}; compare the path of its SDS cluster with the server's --socket`;
    return [{ rule: 'envoy-no-stream', severity: 'error', place, problem, why, fix }];
  }
  const held = ours.find((one) => one.held !== null)?.held;
  if (held !== undefined && held !== null) {
    const problem = `it ${warming ? 'waits for' : 'holds an old'} ${name}: ${held.reason}: ${held.detail}`;
    const why = 'its listeners reset connections until it is there: "Secret is not supplied by SDS"';
    const fix = held.decision === null ? 'wait: it is being looked for' : `sidekey explain ${held.decision}`;
    return [{ rule: 'envoy-waits', severity: 'error', place, problem, why, fix }];
  }
  const rejection = ours.find((one) => one.rejection !== null)?.rejection;
  if (rejection !== undefined && rejection !== null) {
    const problem = `it has rejected ${name}: ${rejection.message}`;
    const why = 'it goes on with what it had, until that ends; a NACK may blame the wrong secret of a listener';
    const fix = `sidekey proxies --name ${shellQuote(name)}; a new certificate is on its way`;
    return [{ rule: 'envoy-rejects', severity: 'error', place, problem, why, fix }];
  }
  if (
    first.serial === null ||
    ours.some((one) => one.serial !== null && envoy.certificates.has(plainSerial(one.serial)))
  )
    return [];
  const problem = `it holds another certificate for ${name} than the one it was sent (serial ${first.serial})`;
  const why = 'it acknowledged what it does not use, or no listener or cluster of it uses the secret';
  const fix = `curl ${shellQuote(adminUrl(place, '/certs').href)}; if its listener shows no certificate of ${name}, restart the Envoy`;
  return [{ rule: 'envoy-differs', severity: 'warning', place, problem, why, fix }];
}
