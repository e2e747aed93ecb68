/** Which settings of an agent go together. */

import type { Problem } from '../base/index.ts';
import type { AgentConfig } from './agent-config.ts';
import { flagOf } from './settings.ts';

type Key = 'joinToken' | 'joinTokenFile' | 'x509popCert' | 'trustBundle' | 'trustBundleUrl' | 'insecureBootstrap';

const PROOFS: readonly Key[] = ['joinToken', 'joinTokenFile', 'x509popCert'];
const TRUST: readonly Key[] = ['trustBundle', 'trustBundleUrl', 'insecureBootstrap'];

/** @param where the setting as the user wrote it; undefined if it has its default */
export function agentProblems(config: Partial<AgentConfig>, where: (key: string) => string | undefined): Problem[] {
  const at = (key: string) => where(key) ?? flagOf(key);
  const problems: Problem[] = [];
  const isGiven = (key: Key) => config[key] !== undefined && config[key] !== false;
  const proofs = 'an agent proves in one way which host it is';
  const trust = 'an agent knows its server at first in one way';
  for (const [keys, rule] of [
    [PROOFS, proofs],
    [TRUST, trust],
  ] as const) {
    const [first, second] = keys.filter(isGiven);
    if (second !== undefined) problems.push({ path: at(second), problem: `${at(first!)} is given too`, rule });
  }
  const [cert, key] = [config.x509popCert, config.x509popKey];
  if (cert !== undefined && key === undefined) {
    problems.push({ path: at('x509popCert'), problem: 'its key is missing', rule: 'it goes with --x509pop-key FILE' });
  }
  if (key !== undefined && cert === undefined) {
    const rule = 'it goes with --x509pop-cert FILE';
    problems.push({ path: at('x509popKey'), problem: 'its certificate is missing', rule });
  }
  if (config.server?.length === 0) {
    problems.push({ path: at('server'), problem: 'it is not set', rule: 'give --server HOST:PORT' });
  }
  return problems;
}
