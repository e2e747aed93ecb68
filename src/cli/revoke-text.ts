/** Prints revocations, and what each proxy does with them. */

import type { RevocationJson, RevocationProxyJson, RevokedJson } from '../admin/index.ts';
import { asCalled, wordsAsCalled } from './called-as.ts';
import { printTable } from './output.ts';

type Proxies = Pick<RevokedJson, 'proxies' | 'proxy_counts'>;

export function printRevocations(revocations: readonly RevocationJson[], wide: boolean): void {
  const header = ['SERIAL', 'SPIFFE ID', 'REASON', 'REVOKED', 'EXPIRES'];
  const rows = revocations.map((one) => {
    const cells = [one.serial, one.spiffe_id, one.reason, one.revoked_at, one.expires_at];
    return wide ? [...cells, one.entry_id, one.authority_id] : cells;
  });
  printTable(wide ? [...header, 'ENTRY', 'AUTHORITY'] : header, rows);
}

/** What a command revoked, the proxies, and what stays. */
export function printOutcome(outcome: RevokedJson, wide: boolean): void {
  const { revoked, already, replaced } = outcome;
  printChange('revoked', revoked, outcome, wide, () => {
    if (already > 0) write(`${countOf(already, 'certificate was', 'certificates were')} revoked before.`);
    if (replaced.asked > 0) {
      write(
        `${replaced.acknowledged} of ${countOf(replaced.asked, 'SPIFFE ID', 'SPIFFE IDs')} had new certificates in use before the old ones were revoked.`,
      );
    }
  });
  if (revoked.length + already > 0) write(wordsAsCalled(`\n${REMAINS}`));
}

/** @param verb `revoked` or `restored` @param more prints further lines about the certificates */
export function printChange(
  verb: string,
  changed: readonly RevocationJson[],
  proxies: Proxies,
  wide: boolean,
  more: () => void = () => undefined,
): void {
  if (changed.length > 0) {
    printRevocations(changed, wide);
    write('');
  }
  write(`${countOf(changed.length, 'certificate', 'certificates')} ${verb}.`);
  more();
  printProxies(proxies, verb === 'restored' ? 'accepting' : undefined);
}

const REMAINS = `Connections that are open stay open: proxies check certificates in the handshake only. Envoy's max_connection_duration
ends them (sidekey envoy bootstrap --max-connection-duration 1h), or a restart of the proxy.
JWT-SVIDs are not revoked: each is accepted until it ends, or until the key that signed it is tainted (docs/jwt.md).`;

/** One line for each proxy. @param has what a proxy with the present lists does */
export function printProxies({ proxies, proxy_counts: counts }: Proxies, has = 'refusing'): void {
  const total = counts.refusing + counts.informed + counts.waiting + counts.unreachable;
  write('');
  if (total === 0) {
    write('No proxy is connected; each gets the lists when it connects.');
    return;
  }
  printTable(
    ['NODE', 'PID', 'NAME', 'STATE'],
    proxies.map((proxy) => [proxy.node_id ?? '-', String(proxy.pid), proxy.name, stateOf(proxy, has)]),
  );
  if (total > proxies.length) write(`and ${total - proxies.length} more, which refuse or are in the same states`);
  if (counts.unreachable > 0) write(UNREACHABLE);
  if (counts.informed > 0) write(INFORMED);
}

const INFORMED =
  '\nAn informed program has the lists from the Workload API. The libraries of SPIFFE ignore them so far, and then it accepts the certificates until they end.';

const UNREACHABLE =
  '\nAn unreachable proxy has no bundle with the lists from here and accepts the certificates: let it request its validation context over SDS, by the SPIFFE ID of the trust domain, ROOTCA or ALL (docs/revocation.md).';

function stateOf({ state, refusing_since: since, rejection }: RevocationProxyJson, has: string): string {
  switch (state) {
    case 'refusing':
      return `${has} since ${since}`;
    case 'informed':
      return `informed since ${since}, over the Workload API`;
    case 'waiting':
      return rejection === null ? 'not yet: it has not answered' : `not yet: it rejected them: ${rejection}`;
    case 'unreachable':
      return 'unreachable: it requests no bundle with the lists';
  }
}

/** @throws Error, for exit status 1, if a connected proxy does not have the lists */
export function checkRefusing({ proxy_counts: counts }: Proxies, verb: string): void {
  const behind = counts.waiting + counts.unreachable;
  if (behind === 0) return;
  const total = behind + counts.informed + counts.refusing;
  throw new Error(
    `${verb}, but ${behind} of ${total} proxies ${behind === 1 ? 'does' : 'do'} not have the lists yet: ${asCalled('sidekey revoke list')} shows when they do`,
  );
}

function countOf(number: number, one: string, more: string): string {
  return `${number} ${number === 1 ? one : more}`;
}

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}
