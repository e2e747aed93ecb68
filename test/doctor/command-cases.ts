/** Set-ups that a command refuses or warns of when it is run. */

import type { CommandCase } from './case.ts';

const CREATE = 'sidekey entry create --spiffe-id spiffe://ilinux.io';
const CHECK = 'sidekey serve --check --data-dir FOLDER/data';
const SOCKET = '--socket FOLDER/run/agent.sock';

export const COMMANDS: readonly Omit<CommandCase, 'by'>[] = [
  {
    symptom: 'An entry was made for a user that does not exist',
    cause: 'the name of the user is mistyped, or the user is made later',
    command: `${CREATE}/typo --selector unix:user:no-such-user`,
    status: 0,
    says: /warning: --selector: no caller has unix:user:no-such-user: .*has no user no-such-user/,
    fix: 'sidekey entry update spiffe://ilinux.io/typo --selector unix:user:root',
  },
  {
    symptom: 'An entry was made for a program that is not there',
    cause: 'its path is mistyped, or the program is not installed yet',
    command: `${CREATE}/gone --selector unix:uid:5 --selector unix:path:/usr/bin/no-such-program`,
    status: 0,
    says: /warning: no caller has unix:path:\/usr\/bin\/no-such-program of entry \S+: this machine has no such file/,
    fix: 'sidekey entry update spiffe://ilinux.io/gone --selector unix:uid:5 --selector unix:path:/bin/sh',
    note: 'not checked for entries whose callers may be in containers, which have other files',
  },
  {
    symptom: 'An entry was made for containers, and Sidekey asks no engine',
    cause: 'sidekey serve runs without --docker-socket',
    command: `${CREATE}/box --selector docker:label:app:web`,
    status: 0,
    says: /warning: --selector: no caller has docker:label:app:web: no docker attestor runs here/,
    fix: 'sidekey entry update spiffe://ilinux.io/box --selector unix:uid:1',
    note: 'if callers in containers should get it, start the server with --docker-socket instead',
  },
  {
    symptom: 'Certificates end earlier than their entry says',
    cause: 'the TTL of the entry is longer than half of --ca-ttl',
    command: `${CREATE}/long --selector unix:uid:2 --x509-svid-ttl 48h`,
    status: 0,
    says: /warning: --x509-svid-ttl: 2d is more than can always be honoured; .*up to 12h/,
    fix: 'sidekey entry update spiffe://ilinux.io/long --x509-svid-ttl 12h',
  },
  {
    symptom: 'Certificates may end before the proxy has the next one',
    cause: 'the TTL of the entry is a few seconds',
    command: `${CREATE}/short --selector unix:uid:3 --x509-svid-ttl 3`,
    status: 0,
    says: /warning: --x509-svid-ttl: 3s is very short/,
    fix: 'sidekey entry update spiffe://ilinux.io/short --x509-svid-ttl 10m',
  },
  {
    symptom: 'A change of an entry is gone after a restart',
    cause: 'something else declares the entry: the entries file, or a source of `PUT /v1/entries`',
    command: 'sidekey entry update declared --hint by-hand',
    status: 0,
    says: /warning: entry declared is declared by the source ci, which will undo the change/,
    break: async (stage) => {
      const entries = [{ id: 'declared', spiffe_id: 'spiffe://ilinux.io/declared', selectors: ['unix:uid:4'] }];
      await stage.admin.json('PUT', '/v1/entries', { body: { source: 'ci', entries } });
    },
    fix: 'sidekey entry show declared',
    note: 'the command shows the source; change the entry there',
  },
  {
    symptom: 'The trust domain is refused',
    cause: 'it was written as a SPIFFE ID',
    command: `${CHECK} ${SOCKET} --trust-domain spiffe://ilinux.io`,
    status: 1,
    says: /--trust-domain: .*begins with spiffe:\/\/; leave off spiffe:\/\/: ilinux\.io/,
    fix: `${CHECK} ${SOCKET} --trust-domain ilinux.io`,
  },
  {
    symptom: 'Two SDS names are refused because they are equal',
    cause: 'a certificate and a bundle would have one name',
    command: `${CHECK} ${SOCKET} --trust-domain ilinux.io --sds-default-name ROOTCA`,
    status: 1,
    says: /"ROOTCA" is the name of --sds-bundle-name too/,
    fix: `${CHECK} ${SOCKET} --trust-domain ilinux.io --sds-all-bundles-name ROOTCA`,
    note: 'ROOTCA as the name of all bundles is allowed, and is what Istio needs',
  },
  {
    symptom: 'An abstract socket is refused',
    cause: 'an abstract socket has no owner and no mode, so any process could use it or take its name',
    command: `${CHECK} --trust-domain ilinux.io --socket @sidekey`,
    status: 1,
    says: /--socket: "@sidekey" is an abstract socket; give the path of a file/,
    fix: `${CHECK} --trust-domain ilinux.io --socket unix://FOLDER/run/agent.sock`,
  },
  {
    symptom: 'An export of SPIRE is refused because it is one page of several',
    cause: 'the file has a next_page_token, so entries are missing in it',
    command: 'sidekey entry create --data FILE',
    content:
      '{"entries":[{"spiffe_id":{"trust_domain":"ilinux.io","path":"/page"},"selectors":[{"type":"unix","value":"uid:5"}]}],"next_page_token":"x"}',
    status: 2,
    says: /:1 \/next_page_token: it is not empty/,
    fix: `sed -i 's/"x"}$/""}/' FILE && sidekey entry create --data FILE`,
    note: 'export all entries at once; the command makes a whole export of the test file',
  },
];
