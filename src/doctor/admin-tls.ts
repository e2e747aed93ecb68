/** Checks TLS of the admin API on TCP. */

import type { DoctorJson } from '../admin/index.ts';
import { type Finding, formatDuration } from '../base/index.ts';

/** A certificate that ends within this time should have been replaced, in milliseconds. */
const SOON_MS = 7 * 86_400_000;

/** Times are by the clock of the server. */
export function judgeAdminTls({ admin_tls: tls, at }: Pick<DoctorJson, 'admin_tls' | 'at'>): Finding[] {
  if (tls === null) return [];
  const place = tls.cert_file;
  const findings: Finding[] = [];
  if (tls.problem !== null) {
    findings.push({
      rule: 'admin-tls-files',
      severity: 'error',
      place,
      problem: `the TLS files of the admin API can't be used: ${tls.problem}`,
      why: `the former certificate stays in use until ${tls.not_after}, and the next start fails`,
      fix: `put a certificate and its key into ${tls.cert_file} and ${tls.key_file}: the server reads them within 10 s`,
    });
  }
  const left = Date.parse(tls.not_after) - Date.parse(at);
  if (left < SOON_MS) {
    const ago = left <= 0;
    const span = formatDuration(Math.floor(Math.abs(left) / 1_000));
    findings.push({
      rule: 'admin-tls-expiry',
      severity: ago ? 'error' : 'warning',
      place,
      problem: ago
        ? `the TLS certificate of the admin API has expired ${span} ago`
        : `the TLS certificate of the admin API ends in ${span}`,
      why: `clients of the admin API on TCP ${ago ? 'refuse it' : 'will refuse it'}`,
      fix: `put a new certificate and its key into ${tls.cert_file} and ${tls.key_file}: the server reads them within 10 s`,
    });
  }
  return findings;
}
