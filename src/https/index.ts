/** Parts of the TCP listeners: TLS certificates from files, and servers of a few documents. */

export type { CertificateFiles, PemFiles } from './certificate-files.ts';
export type { Answers, ServerTls } from './document-server.ts';
export { openCertificateFiles, serveDocuments } from './open.ts';
export { problemAnswer } from './problem.ts';
export { TLS_CONNECTIONS, TLS_PROTOCOL } from './tls-options.ts';
