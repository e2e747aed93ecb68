import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callerOf } from '../../envoy-examples/app/caller.ts';

const FRONT = 'spiffe://ilinux.io/front-envoy';

for (const [what, header, caller] of [
  ['nobody without the header', undefined, undefined],
  ['nobody in an empty header', '', undefined],
  ["the URI of what Envoy's SANITIZE_SET writes", `By=spiffe://ilinux.io/service-gray;Hash=9c8f;URI=${FRONT}`, FRONT],
  ['the URI wherever it stands', `URI=${FRONT};Hash=9c8f`, FRONT],
  ['nobody where only the receiving side has an ID', 'By=spiffe://ilinux.io/service-gray;Hash=9c8f', undefined],
  ['the first of several proxies', `Hash=1;URI=${FRONT},Hash=2;URI=spiffe://ilinux.io/other`, FRONT],
] as const) {
  test(`the app sees ${what}`, () => assert.equal(callerOf(header), caller));
}
