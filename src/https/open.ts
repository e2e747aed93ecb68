/** Opens the parts. TLS is loaded only for them, because most servers have none. */

import type { CertificateFiles, PemFiles, TlsNames } from './certificate-files.ts';
import type { DocumentServer, DocumentServerOptions } from './document-server.ts';

/** @throws ERR_CONFIG if a file can't be read or trusted, or the two are no pair */
export async function openCertificateFiles(files: PemFiles, names: TlsNames): Promise<CertificateFiles> {
  return (await import('./certificate-files.ts')).CertificateFiles.open(files, names);
}

/** Listens. @throws ERR_CONFIG if the address needs TLS; ERR_SOCKET */
export async function serveDocuments(options: DocumentServerOptions): Promise<DocumentServer> {
  return (await import('./document-server.ts')).startDocumentServer(options);
}
