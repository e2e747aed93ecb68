import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressRules } from '../../src/federation/addresses.ts';

const REFUSED = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.255',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:0:7f00:1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:10::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '3fff::1',
  '4000::1',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fe80::1%lo',
  'fec0::1',
  'ff02::1',
  '2606:4700::1%eth0',
  '',
  'localhost',
  '0x7f.1',
];

const TAKEN = ['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255'];
const TAKEN_MORE = ['128.0.0.1', '172.15.255.255', '172.32.0.0', '192.167.255.255', '223.255.255.255'];
const TAKEN_6 = ['2606:4700:4700::1111', '2a00:1450::1', '2001:4860:4860::8888'];

test('only public addresses may be asked', () => {
  const rules = new AddressRules([]);
  for (const address of REFUSED) assert.ok(rules.refusal(address) !== undefined, address);
  for (const address of [...TAKEN, ...TAKEN_MORE, ...TAKEN_6]) assert.equal(rules.refusal(address), undefined, address);
});

test('networks that the operator names may be asked too, and no others', () => {
  const rules = new AddressRules([
    { address: '10.1.0.0', prefix: 16 },
    { address: 'fd00::', prefix: 8 },
  ]);
  for (const address of ['10.1.0.0', '10.1.255.255', 'fd12::1', '8.8.8.8']) {
    assert.equal(rules.refusal(address), undefined, address);
  }
  for (const address of ['10.2.0.1', '127.0.0.1', 'fc00::1', '::1']) assert.ok(rules.refusal(address), address);
});
