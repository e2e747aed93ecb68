import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SidekeyError } from '../../src/base/errors.ts';
import { recordingLog } from '../support/recording-log.ts';

interface Logged {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly cause?: Logged;
}

test('an error is logged by its name, whatever a bundle calls its class, and so is what caused it', () => {
  const { log, lines } = recordingLog();
  const Renamed = class _SidekeyError extends SidekeyError {};
  const cause = new TypeError('what happened', { cause: new Renamed('ERR_CA', 'at first') });
  log.error({ err: new Renamed('ERR_STORE', 'not written', { cause }) }, 'something failed');
  const { type, code, message, cause: second } = lines[0]!.err as Logged;
  assert.deepEqual([type, code, message], ['SidekeyError', 'ERR_STORE', 'not written']);
  assert.deepEqual([second?.type, second?.cause?.type], ['TypeError', 'SidekeyError']);
});

test('what is thrown and is no error is logged all the same', () => {
  const { log, lines } = recordingLog();
  const cause = { no: 'error' };
  log.error({ err: new Error('failed', { cause }) }, 'something failed');
  log.error({ err: 'a text' }, 'something failed');
  assert.equal((lines[0]!.err as Logged).type, 'Error');
  assert.equal(lines[1]!.err, 'a text');
});
