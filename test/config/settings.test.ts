import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flagOf, SETTING_KEYS, variableOf } from '../../src/config/settings.ts';

test('flags and variables follow from the keys', () => {
  assert.deepEqual(SETTING_KEYS.map(flagOf).sort(), [
    '--admin-host',
    '--admin-insecure-listen',
    '--admin-listen',
    '--admin-max-connections',
    '--admin-socket',
    '--admin-token-file',
    '--allow-contained',
    '--allow-unpinned-peers',
    '--allow-weak-selectors',
    '--bundle-for',
    '--ca-key-type',
    '--ca-subject',
    '--ca-ttl',
    '--config',
    '--data-dir',
    '--disable-spiffe-cert-validation',
    '--docker-socket',
    '--entries',
    '--key-passphrase-file',
    '--log-format',
    '--log-level',
    '--max-connections-per-uid',
    '--max-requests-per-second-per-uid',
    '--max-streams-per-uid',
    '--new-root',
    '--old-key-passphrase-file',
    '--root-ack-policy',
    '--root-ack-timeout',
    '--root-publish-time',
    '--root-ttl',
    '--sds-all-bundles-name',
    '--sds-bundle-name',
    '--sds-default-name',
    '--socket',
    '--socket-group',
    '--socket-mode',
    '--trust-domain',
    '--x509-svid-key-type',
    '--x509-svid-ttl',
  ]);
  assert.equal(variableOf('x509SvidTtl'), 'SIDEKEY_X509_SVID_TTL');
  assert.equal(variableOf('dataDir'), 'SIDEKEY_DATA_DIR');
});
