/** `@peculiar/x509`, the tests' second opinion on certificates. */

export * as x509 from '../../src/ca/peculiar.ts';
