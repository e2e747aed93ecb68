/** Reports secrets that connected proxies do not have. */

import type { Finding } from '../base/index.ts';

/** A secret that a connected proxy asked for. */
export interface WaitingSecret {
  /** The node id, or the process if it has none. */
  readonly proxy: string;
  readonly name: string;
  /** Why it needs attention, or why it is held. */
  readonly why: string;
}

/** Maximum number of secrets in one finding. */
const NAMED = 3;

/**
 * @param troubled the secrets that `sidekey proxies --check` reports
 * @param waiting the names that wait for an entry that never existed
 */
export function judgeProxies(troubled: readonly WaitingSecret[], waiting: readonly WaitingSecret[]): Finding[] {
  const findings: Finding[] = [];
  if (troubled.length > 0) {
    findings.push({
      rule: 'proxies-troubled',
      severity: 'warning',
      place: 'proxies',
      problem: `${secrets(troubled, 'needs', 'need')} attention: ${named(troubled)}`,
      why: 'the proxy has no valid secret of this name, or will soon have none',
      fix: 'sidekey proxies --check shows all of them; sidekey explain --pid PID --spiffe-id ID says what a process lacks',
    });
  }
  if (waiting.length > 0) {
    findings.push({
      rule: 'proxies-waiting',
      severity: 'info',
      place: 'proxies',
      problem: `${secrets(waiting, 'waits', 'wait')} for an entry that never existed: ${named(waiting)}`,
      why: 'Envoy does not open a listener, and answers 503 for a cluster, until it has the secret',
      fix: 'create the entry, or correct the name that the proxy asks for; sidekey proxies --state held shows all of them',
    });
  }
  return findings;
}

function secrets(all: readonly WaitingSecret[], one: string, more: string): string {
  const proxies = new Set(all.map(({ proxy }) => proxy)).size;
  const of = proxies === 1 ? '1 proxy' : `${proxies} proxies`;
  return all.length === 1 ? `1 secret of ${of} ${one}` : `${all.length} secrets of ${of} ${more}`;
}

function named(all: readonly WaitingSecret[]): string {
  const shown = all.slice(0, NAMED).map(({ proxy, name, why }) => `${proxy}: ${name || '(no name)'}: ${why}`);
  const more = all.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
