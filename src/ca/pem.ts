/** PEM blocks (RFC 7468). */

export type PemLabel = 'CERTIFICATE' | 'PRIVATE KEY';

/** One block, with a line end after it. */
export function pem(label: PemLabel, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The blocks of that label, each whole. */
export function pemBlocks(text: string, label: PemLabel): string[] {
  return text.match(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n?`, 'g')) ?? [];
}
