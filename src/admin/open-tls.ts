/** Opens TLS for the admin API; loads its modules only then, because most servers have none. */

import type { AdminTls, TlsFiles } from './tls.ts';

/** @throws ERR_CONFIG if a file can't be read or trusted, or the two are no pair */
export async function openAdminTls(files: TlsFiles): Promise<AdminTls> {
  return (await import('./tls.ts')).AdminTls.open(files);
}
