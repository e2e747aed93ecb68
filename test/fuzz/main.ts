/**
 * `npm run fuzz [-- MINUTES] [--seed N] [--certificates N]`: throws made and changed inputs at the decoder, at the
 * subscription core, at the readers of /proc, at the validator of JWT-SVIDs, at the socket of a real server and at the reader
 * of backups, a sixth of the time each (one minute in all, unless told); then has 100,000 certificates verified, which takes some minutes more. The same seed makes the same
 * inputs; a failure tells the input.
 */

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzzBackup } from './backup.ts';
import { fuzzCertificates } from './certificates.ts';
import { fuzzCore } from './core.ts';
import { fuzzDecoder } from './decoder.ts';
import { fuzzPipe } from './pipe.ts';
import { fuzzProc } from './proc.ts';
import { inputs, seconds, type Target } from './target.ts';
import { fuzzTokens } from './tokens.ts';

const { values, positionals } = parseArgs({
  options: { seed: { type: 'string' }, certificates: { type: 'string', default: '100000' } },
  allowPositionals: true,
});
const minutes = Number(positionals[0] ?? 1);
const seed = Number(values.seed ?? randomInt(2 ** 32));
const certificates = Number(values.certificates);
if (!(minutes > 0) || !Number.isInteger(seed) || !(certificates >= 0) || positionals.length > 1) {
  console.error('usage: npm run fuzz [-- MINUTES] [--seed N] [--certificates N]');
  process.exit(2);
}

const TARGETS: Readonly<Record<string, Target>> = {
  decoder: fuzzDecoder,
  subscription: fuzzCore,
  proc: fuzzProc,
  tokens: fuzzTokens,
  pipe: fuzzPipe,
  backup: fuzzBackup,
};

console.log(`seed ${seed}, ${minutes} min`);
let total = 0;
const share = (minutes * 60) / Object.keys(TARGETS).length;
for (const [name, target] of [...Object.entries(TARGETS), ['certificates', fuzzCertificates] as const]) {
  // The number of certificates is fixed, whatever time they take.
  const result = await target(seed, target === fuzzCertificates ? inputs(certificates) : seconds(share));
  total += result.inputs;
  const rate = Math.round(result.inputs / result.seconds);
  console.log(`${name}: ${result.inputs} inputs, ${rate} a second; ${result.notes.join(', ')}`);
}
console.log(`${total} inputs: nothing broke`);
