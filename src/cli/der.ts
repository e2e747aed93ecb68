/** Certificates in DER and PEM, for the commands that load them only when they run. */

export { certificatesOf, pemOf } from '../spiffe/index.ts';
