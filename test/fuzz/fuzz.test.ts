/** A short run of `npm run fuzz`, always with the same inputs. */

import { test } from 'node:test';
import { fuzzBackup } from './backup.ts';
import { fuzzCore } from './core.ts';
import { fuzzDecoder } from './decoder.ts';
import { fuzzPipe } from './pipe.ts';
import { fuzzProc } from './proc.ts';
import { inputs } from './target.ts';
import { fuzzTokens } from './tokens.ts';

const SEED = 20_260_601;

test('the decoder reads or refuses whatever comes', async (t) => {
  t.diagnostic((await fuzzDecoder(SEED, inputs(10_000))).notes.join(', '));
});

test('the subscription core keeps its promises whatever is asked and pushed', async (t) => {
  t.diagnostic((await fuzzCore(SEED, inputs(5_000))).notes.join(', '));
});

test('files of /proc say what they say, whatever processes, cgroups and paths are called', async (t) => {
  t.diagnostic((await fuzzProc(SEED, inputs(10_000))).notes.join(', '));
});

test('a JWT-SVID that breaks a rule is refused with the reason, and no other one is', async (t) => {
  t.diagnostic((await fuzzTokens(SEED, inputs(3_000))).notes.join(', '));
});

test('the pipe lives through frames that nobody would send, and gives nothing to whom nothing is due', async (t) => {
  t.diagnostic((await fuzzPipe(SEED, inputs(2_000))).notes.join(', '));
});

test('a changed backup is refused, and nothing is written beside its folder', async (t) => {
  t.diagnostic((await fuzzBackup(SEED, inputs(300))).notes.join(', '));
});
