import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Authority, isIssuedBy, makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import type { LeafRequest } from '../../src/ca/leaf.ts';
import { IDLE_MS, LATE_MS, LEAST, LeafThread, MANY, REST_MS } from '../../src/ca/leaf-thread.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { endAfter } from '../support/caller.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';
import { DAY, HOUR, listeningLog, openTestAuthority, request, TRUST_DOMAIN, until } from './support.ts';

const READY = 'second signing thread started';
const FAILED = 'second signing thread failed: SVIDs are signed without it';
const skip = availableParallelism() < 2 && 'a second thread is of no use to one processor';

/** Writes a program that replaces the thread's own. */
function program(t: TestContext, text: string): string {
  const file = path.join(tempDir(t), 'program.mjs');
  writeFileSync(file, `import { parentPort } from 'node:worker_threads';\n${text}`);
  return file;
}

async function makeAuthority(clock: TestClock): Promise<Authority> {
  const making = { trustDomain: TRUST_DOMAIN, subject: [], now: clock.now() };
  return makeIntermediate(making, await makeRoot(making), DAY);
}

async function start(thread: LeafThread): Promise<void> {
  thread.startFor(MANY);
  await until(() => thread.takes(LEAST));
}

async function openThread(t: TestContext, file?: string) {
  const clock = new TestClock();
  const authority = await makeAuthority(clock);
  const { log, lines } = listeningLog();
  const thread = new LeafThread({ clock, log, file });
  t.after(() => thread.close());
  const told = (message: string) => lines().filter(({ msg }) => msg === message).length;
  const leafRequest = (name: string, dnsNames: string[] = []): LeafRequest => ({
    ...{ spiffeId: parseSpiffeId(`spiffe://ilinux.io/${name}`), dnsNames, now: clock.now() },
    notAfter: clock.now() + HOUR,
  });
  return { thread, clock, authority, told, leafRequest };
}

function verify(leaf: { certificateChain: string; privateKey: string }, authority: Authority, spiffeId: string): void {
  const certificate = new X509Certificate(leaf.certificateChain);
  assert.ok(isIssuedBy(certificate, authority) && leaf.certificateChain.endsWith(authority.certificatePem));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(leaf.privateKey)));
  assert.equal(certificate.subjectAltName?.split(',')[0], `URI:${spiffeId}`);
}

const nicenessOf = (stat: string) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);

describe('the second thread', { skip, timeout: 60_000 }, () => {
  it('is started while many SVIDs are queued, makes them in order, and reports single faults', async (t) => {
    const { thread, authority, told, leafRequest } = await openThread(t);
    thread.startFor(MANY - 1);
    assert.equal(thread.takes(MANY), false);
    await start(thread);
    assert.equal(thread.takes(LEAST - 1), false, 'the event loop makes the last few sooner');
    const requests = [leafRequest('a'), leafRequest('b', ['gräy.example']), leafRequest('c', ['c.example'])];
    const [a, b, c] = await thread.make(authority, requests);
    assert.ok('leaf' in a! && 'fault' in b! && 'leaf' in c!);
    verify(a.leaf, authority, 'spiffe://ilinux.io/a');
    verify(c.leaf, authority, 'spiffe://ilinux.io/c');
    assert.notEqual(a.leaf.privateKey, c.leaf.privateKey);
    assert.deepEqual([b.fault.name, b.fault.code], ['SidekeyError', 'ERR_CA']);
    assert.match(String(b.fault.cause), /^RangeError: .*not ASCII/);
    assert.equal(told(READY), 1);
  });

  it('signs with the given authority, also after another one', async (t) => {
    const { thread, clock, authority, leafRequest } = await openThread(t);
    const other = await makeAuthority(clock);
    await start(thread);
    const orders = [authority, other, authority].map((one) => thread.make(one, [leafRequest('a')]));
    for (const [i, [made]] of (await Promise.all(orders)).entries()) {
      assert.ok('leaf' in made!);
      verify(made.leaf, i === 1 ? other : authority, 'spiffe://ilinux.io/a');
    }
  });

  it('verifies one SVID of each batch with OpenSSL, and refuses those that the authority did not sign', async (t) => {
    const { thread, clock, authority, leafRequest } = await openThread(t);
    const { privateKey } = await makeAuthority(clock);
    await start(thread);
    const requests = [leafRequest('a'), leafRequest('b', ['b.example'])];
    for (const one of await thread.make(authority, requests)) assert.ok('leaf' in one);
    for (const one of await thread.make({ ...authority, privateKey }, requests)) {
      assert.ok('fault' in one);
      assert.match(one.fault.message, /is withheld: its authority did not sign it/);
    }
  });

  it('has a lower priority than the event loop, whose priority is unchanged', async (t) => {
    const before = nicenessOf(readFileSync('/proc/thread-self/stat', 'utf8'));
    const threads = new Set(readdirSync('/proc/self/task'));
    const { thread } = await openThread(t);
    await start(thread);
    const niceness = readdirSync('/proc/self/task')
      .filter((id) => !threads.has(id))
      .map((id) => nicenessOf(readFileSync(`/proc/self/task/${id}/stat`, 'utf8')));
    assert.ok(niceness.includes(10), `${niceness}`);
    assert.equal(nicenessOf(readFileSync('/proc/thread-self/stat', 'utf8')), before);
  });

  it('is stopped after some time without work, and started again for the next burst', async (t) => {
    const { thread, clock, authority, told, leafRequest } = await openThread(t);
    await start(thread);
    clock.advance(IDLE_MS - 1);
    await thread.make(authority, [leafRequest('a')]);
    clock.advance(IDLE_MS - 1);
    assert.equal(thread.takes(LEAST), true);
    clock.advance(1);
    assert.equal(thread.takes(LEAST), false);
    await start(thread);
    assert.equal(told(READY), 2);
    assert.equal(told(FAILED), 0);
  });

  it('is reported when it fails, rejects its batches, and is not restarted for a while', async (t) => {
    const file = program(t, `parentPort.on('message', () => { throw new Error('broken'); }).postMessage('ready');`);
    const { thread, clock, authority, told, leafRequest } = await openThread(t, file);
    await start(thread);
    const orders = ['a', 'b'].map((name) => thread.make(authority, [leafRequest(name)]));
    for (const order of orders) await assert.rejects(order, /broken/);
    assert.equal(told(FAILED), 1);
    clock.advance(REST_MS - 1);
    thread.startFor(MANY);
    // A thread started later would also be ready later.
    await start((await openThread(t)).thread);
    assert.equal(told(READY), 1);
    clock.advance(1);
    await start(thread);
  });

  for (const [what, text, error] of [
    ['does not answer', `parentPort.on('message', () => {}).postMessage('ready');`, /no answer within 2000 ms/],
    [
      'answers fewer requests than it got',
      `parentPort.on('message', () => parentPort.postMessage([])).postMessage('ready');`,
      /0 answers to 1 requests/,
    ],
  ] as const) {
    it(`has failed if it ${what}`, async (t) => {
      const { thread, clock, authority, told, leafRequest } = await openThread(t, program(t, text));
      await start(thread);
      const order = assert.rejects(thread.make(authority, [leafRequest('a')]), error);
      if (what === 'does not answer') clock.advance(LATE_MS);
      await order;
      assert.equal(thread.takes(MANY), false);
      assert.equal(told(FAILED), 1);
    });
  }

  it('keeps the process alive only while an answer is awaited', async (t) => {
    const file = program(
      t,
      `setTimeout(() => parentPort.postMessage([{ leaf: 'made' }]), 100);
      parentPort.on('message', () => {}).postMessage('ready');`,
    );
    const url = (name: string) => JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href);
    const user = path.join(tempDir(t), 'user.mjs');
    writeFileSync(
      user,
      `import { LeafThread, LEAST, MANY } from ${url('ca/leaf-thread.ts')};
      const log = { debug() {}, warn: console.error };
      const thread = new LeafThread({ clock: { after: () => ({ cancel() {} }) }, log, file: ${JSON.stringify(file)} });
      thread.startFor(MANY);
      while (!thread.takes(LEAST)) await new Promise(setImmediate);
      const [{ leaf }] = await thread.make({}, [{}]);
      console.log(leaf);`,
    );
    const child = spawn(process.execPath, [user], { stdio: ['ignore', 'pipe', 'inherit'] });
    endAfter(t, child);
    const ended = once(child, 'exit');
    let said = '';
    for await (const text of child.stdout.setEncoding('utf8')) said += text;
    assert.equal(said, 'made\n');
    assert.deepEqual(await ended, [0, null]);
  });

  it('rejects its batches when it is closed, and is not started again', async (t) => {
    const { thread, authority, told, leafRequest } = await openThread(t);
    await start(thread);
    const order = assert.rejects(thread.make(authority, [leafRequest('a')]), /closed/);
    await thread.close();
    await order;
    await assert.rejects(thread.make(authority, [leafRequest('b')]));
    thread.startFor(MANY);
    // A thread started later would also be ready later.
    await start((await openThread(t)).thread);
    assert.equal(thread.takes(MANY), false);
    assert.deepEqual([told(READY), told(FAILED)], [1, 0]);
  });
});

describe('a burst of SVIDs', { skip, timeout: 60_000 }, () => {
  const BURST = 2 * MANY;
  const spiffeIds = Array.from({ length: BURST }, (_, i) => `spiffe://ilinux.io/${i}`);

  const own = undefined;
  const endsAtOnce = 'process.exit(3);';
  const endsLater = `let orders = 0;
    parentPort.on('message', () => { orders += 1; if (orders === 2) process.exit(3); }).postMessage('ready');`;
  const saysLess = `parentPort.on('message', () => parentPort.postMessage([])).postMessage('ready');`;

  for (const [what, text, failures] of [
    ['in which a second thread takes part', own, 0],
    ['with a thread that does not start', endsAtOnce, 1],
    ['with a thread that ends during two batches', endsLater, 1],
    ['with a thread that answers too few requests', saysLess, 1],
  ] as const) {
    it(`${what} is complete: each SVID is recorded once and has its own key`, async (t) => {
      const { ca, records, lines } = await openTestAuthority(t, {
        threadFile: text === undefined ? undefined : program(t, text),
      });
      const told = (message: string) => lines().filter(({ msg }) => msg === message).length;
      const issue = () => Promise.all(spiffeIds.map((spiffeId) => ca.issue(request({ entryId: spiffeId, spiffeId }))));
      // The first burst may be over before the thread is ready.
      let svids = await issue();
      await until(() => told(READY) + told(FAILED) > 0);
      svids = [...svids, ...(await issue())];
      await until(() => told(FAILED) === failures);
      const [, authority] = ca.authorities();
      for (const [i, svid] of svids.entries()) {
        assert.deepEqual([svid.spiffeId, svid.authorityId], [spiffeIds[i % BURST], authority!.id]);
      }
      assert.equal(new Set(svids.map(({ privateKey }) => privateKey)).size, svids.length);
      const certificate = new X509Certificate(svids.at(-BURST)!.certificateChain);
      assert.equal(certificate.subjectAltName, `URI:${spiffeIds[0]}`);
      assert.ok(certificate.checkPrivateKey(createPrivateKey(svids.at(-BURST)!.privateKey)));
      const recorded = records.flat().map(({ serial }) => serial);
      assert.deepEqual(recorded.sort(), svids.map(({ serial }) => serial).sort());
    });
  }

  it('when the authority closes meanwhile, everything handed out is recorded and the rest is refused', async (t) => {
    const { ca, records, lines } = await openTestAuthority(t);
    const issue = () =>
      Promise.allSettled(spiffeIds.map((spiffeId) => ca.issue(request({ entryId: spiffeId, spiffeId }))));
    while (!lines().some(({ msg }) => msg === READY)) await issue();
    const before = records.flat().length;
    const burst = issue();
    await until(() => records.flat().length > before);
    await ca.close();
    const serials: string[] = [];
    for (const result of await burst) {
      if (result.status === 'fulfilled') serials.push(result.value.serial);
      else assert.equal(result.reason.message, 'the authority is closed');
    }
    assert.ok(serials.length > 0 && serials.length < BURST, `${serials.length}`);
    assert.deepEqual(
      serials.sort(),
      records
        .flat()
        .slice(before)
        .map(({ serial }) => serial)
        .sort(),
    );
  });
});
