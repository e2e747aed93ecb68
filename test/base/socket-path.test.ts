import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSocketPath } from '../../src/base/socket-path.ts';

test('a socket is a path or a URL with one', () => {
  const rows = {
    '/run/x.sock': '/run/x.sock',
    'x.sock': 'x.sock',
    './unix:x': './unix:x',
    'C:x': 'C:x',
    'unix:/run/x.sock': '/run/x.sock',
    'unix:x.sock': 'x.sock',
    'unix:///run/x.sock': '/run/x.sock',
    'UNIX:///run/x.sock': '/run/x.sock',
    './@x': './@x',
  };
  for (const [text, place] of Object.entries(rows)) assert.equal(readSocketPath(text), place, text);
});

test('an abstract socket, another URL and nothing at all are refused with the reason', () => {
  const rows: readonly (readonly [text: string, says: RegExp])[] = [
    ['@sidekey', /is an abstract socket; .*no owner and no mode/],
    ['unix:@sidekey', /is an abstract socket/],
    ['unix://@sidekey', /is an abstract socket/],
    ['unix-abstract:sidekey', /is an abstract socket/],
    ['unix://run/x.sock', /has a host after unix:\/\/; .*unix:\/\/\/run/],
    ['tcp://127.0.0.1:80', /is a TCP address, not a Unix socket/],
    ['http://x/', /is not a Unix socket/],
    ['unix:', /has no path/],
    ['unix://', /has a host|has no path/],
    ['', /is empty/],
  ];
  for (const [text, says] of rows) {
    const fault = readSocketPath(text);
    assert.ok(typeof fault === 'object', text);
    assert.match(`${fault.problem}; ${fault.rule}`, says);
  }
});
