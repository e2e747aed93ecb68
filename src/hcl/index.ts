/** HCL 1, the configuration language of SPIRE and of spiffe-helper: a strict reader with limits, and lines in all errors. */

export { quoted } from './fault.ts';
export { readHclFile } from './read-file.ts';
export type { HclItem, HclNode, HclObject, HclScalar } from './tree.ts';
