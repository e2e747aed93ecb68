import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSerial } from '../../src/admin/serial.ts';
import type { SidekeyError } from '../../src/base/index.ts';
import { makeCertificate } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';

test('a serial number is read in each form in which programs print it', () => {
  for (const [given, expected] of [
    ['4bf9', '4bf9'],
    ['4BF9', '4bf9'],
    ['4B:F9', '4bf9'],
    ['4b:f:1', '4b0f01'],
    ['00:4B:F9', '4bf9'],
    ['0004bf9', '4bf9'],
    ['bf9', '0bf9'],
    ['0x4bf9', '4bf9'],
    ['0X4BF9', '4bf9'],
    ['0x1234', '1234'],
    ['12:34', '1234'],
    ['0x0', undefined],
    ['0a', '0a'],
    ['serial=4BF9', '4bf9'],
    [`${'0'.repeat(9)}a${'b'.repeat(38)}`, `0a${'b'.repeat(38)}`],
    [`a${'b'.repeat(40)}`, undefined],
    ['1234', undefined],
    ['0', undefined],
    ['', undefined],
    ['0x', undefined],
    ['xyz', undefined],
    ['4b f9', undefined],
    ['4b:f9:', undefined],
    [':4b', undefined],
    ['4bf9:00', undefined],
    ['4bf9\n', undefined],
    [1234, undefined],
    [null, undefined],
  ] as const) {
    if (expected !== undefined) assert.equal(readSerial(given, '/serial'), expected, JSON.stringify(given));
    else {
      assert.throws(
        () => readSerial(given, '/serial'),
        ({ code, problems }: SidekeyError) => code === 'ERR_BAD_INPUT' && problems[0]!.path === '/serial',
        JSON.stringify(given),
      );
    }
  }
  assert.throws(() => readSerial('123456', '/serial'), /which may be decimal; .*needs 0x/);
});

test('each serial number is read back from what openssl prints of it', async (t) => {
  const { der } = await makeCertificate();
  const serial = readSerial(`0x${new X509Certificate(der).serialNumber}`, '');
  const file = path.join(tempDir(t), 'cert.der');
  writeFileSync(file, der);
  const openssl = (...args: string[]) =>
    execFileSync('openssl', ['x509', '-inform', 'DER', '-in', file, '-noout', ...args], { encoding: 'utf8' });
  assert.equal(readSerial(openssl('-serial').trim(), ''), serial);
  const text = /Serial Number:\s*(?:\d+ \((0x[0-9a-f]+)\)|([0-9a-f:]+))/.exec(openssl('-text'))!;
  assert.equal(readSerial(text[1] ?? text[2], ''), serial);
});

test('any serial number is read in each form', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (bytes) => {
      const hex = Buffer.from(bytes).toString('hex');
      const digits = hex.replace(/^(00)+/, '');
      fc.pre(digits !== '' && digits !== '00');
      const colons = hex.toUpperCase().match(/../g)!.join(':');
      for (const form of [`0x${hex}`, `0X${hex.toUpperCase()}`]) assert.equal(readSerial(form, ''), digits);
      if (colons.includes(':')) assert.equal(readSerial(colons, ''), digits);
    }),
  );
});
