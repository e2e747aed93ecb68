/** What is kept up to date, and what stays when the server or the disk fails. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Kind, Reaction } from '../../src/svid-files/reaction.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';
import { makePlan, makeSvid, makeToken, startKeeper, WEB, x509Message } from './support.ts';

const SECOND = 1_000;
const API = 'spiffe://ilinux.io/api';
const DB = { audiences: ['db'], file: { name: 'db.jwt', mode: 0o600 } };

const read = (directory: string, name: string) => readFileSync(path.join(directory, name), 'utf8');

describe('the keeper', () => {
  it('writes nothing that fails a check, and goes on with the next message', async (t) => {
    const directory = tempDir(t);
    const { source, keeper, lines, settle } = startKeeper(t, makePlan(directory));
    const [good, other] = [await makeSvid(), await makeSvid()];
    source.x509[0]!.message(x509Message(good));
    await settle();
    const before = read(directory, 'svid.pem');
    const bad: readonly (readonly [Parameters<typeof x509Message>[0], RegExp])[] = [
      [{ ...good, x509SvidKey: other.x509SvidKey }, /the key of .*web does not fit its certificate/],
      [{ ...good, spiffeId: 'spiffe://ilinux.io/api' }, /the certificate is not that of .*api/],
      [{ ...good, x509Svid: Buffer.from('garbage') }, /the X\.509-SVID is not a sequence of certificates/],
      [{ ...good, bundle: Buffer.alloc(0) }, /the bundle of .*web is empty/],
      [{ ...good, bundle: Buffer.from([0x30, 0x01]) }, /the bundle is not a sequence of certificates/],
      [await makeSvid(WEB, { notAfter: Date.UTC(2026, 4, 1) }), /the certificate of .*web ended at 2026-05-01/],
    ];
    for (const [svid, message] of bad) {
      source.x509[0]!.message(x509Message(svid));
      await settle();
      assert.match(String(lines.at(-1)!.msg), message);
      assert.equal(read(directory, 'svid.pem'), before);
      assert.match(keeper.health().problems.join(), message);
    }
    source.x509[0]!.message(x509Message());
    await settle();
    assert.match(String(lines.at(-1)!.msg), /no X\.509-SVID {2}for this process, but none at all|none at all/);
    source.x509[0]!.message(x509Message(other));
    await settle();
    assert.notEqual(read(directory, 'svid.pem'), before);
    assert.deepEqual(keeper.health().problems, []);
  });

  it('opens an ended stream again, and logs the same problem once in ten minutes', async (t) => {
    const { source, clock, lines, settle } = startKeeper(t, makePlan(tempDir(t)));
    for (let round = 0; round < 30; round += 1) {
      // The server records a decision for each refusal.
      source.x509.at(-1)!.end(new Error(`no identity issued; see d-${String(round).padStart(12, '0')}`));
      clock.advance(10 * SECOND);
      await settle();
    }
    assert.ok(source.x509.length >= 30, String(source.x509.length));
    const logged = () => lines.filter(({ msg }) => /^no identity issued/.test(String(msg))).length;
    assert.equal(logged(), 1);
    for (let round = 0; round < 61; round += 1) {
      source.x509.at(-1)!.end(new Error('no identity issued; see d-ffffffffffff'));
      clock.advance(10 * SECOND);
    }
    assert.equal(logged(), 2);
  });

  it('is ready only while what is written is valid and in its place', async (t) => {
    const directory = tempDir(t);
    const { source, clock, keeper, settle, lines } = startKeeper(t, makePlan(directory));
    const status = () => keeper.health().parts.map((part) => part.status);
    assert.deepEqual(status(), ['unwritten']);
    source.x509[0]!.message(x509Message(await makeSvid(WEB, { notAfter: clock.now() + 3_600 * SECOND })));
    await settle();
    assert.deepEqual(status(), ['written']);
    rmSync(path.join(directory, 'svid.pem'));
    assert.deepEqual(status(), ['failed']);
    clock.advance(10 * SECOND);
    assert.deepEqual(status(), ['written'], 'it was written again');
    assert.match(lines.map(({ msg }) => msg).join(), /somebody changed or removed files/);
    clock.advance(3_600 * SECOND);
    assert.deepEqual(status(), ['failed'], 'it has ended');
    assert.ok(existsSync(path.join(directory, 'svid.pem')), 'but it stays');
  });

  it('renews tokens at half of what is left, and keeps the former one while that fails', async (t) => {
    const directory = tempDir(t);
    const { source, clock, keeper, settle } = startKeeper(t, makePlan(directory, { x509: undefined, jwts: [DB] }));
    await settle();
    const issue = (jti: string) => {
      const token = makeToken({ sub: WEB, exp: Math.floor(clock.now() / 1_000) + 300, jti });
      source.tokens = async () => ({ svids: [{ spiffeId: WEB, svid: token, hint: '' }] });
      return token;
    };
    const first = issue('1');
    // The first request found no identity.
    clock.advance(SECOND);
    await settle();
    assert.equal(read(directory, 'db.jwt'), first);
    const asked = source.asked.length;
    clock.advance(149 * SECOND);
    assert.equal(source.asked.length, asked);
    source.tokens = async () => Promise.reject(new Error('the server is away'));
    clock.advance(3 * SECOND);
    await settle();
    assert.equal(read(directory, 'db.jwt'), first);
    assert.deepEqual(keeper.health().problems, ['the server is away']);
    const second = issue('2');
    clock.advance(10 * SECOND);
    await settle();
    assert.equal(read(directory, 'db.jwt'), second);
    assert.deepEqual(keeper.health().parts[0]!.status, 'written');
  });

  it('writes certificates after a moment although a token does not come, and does not lose the former token', async (t) => {
    const directory = tempDir(t);
    const first = startKeeper(t, makePlan(directory, { jwts: [DB] }));
    first.source.tokens = async () => ({ svids: [{ spiffeId: WEB, svid: makeToken({ exp: 4e9 }), hint: '' }] });
    first.source.x509[0]!.message(x509Message(await makeSvid()));
    await first.settle();
    first.clock.advance(SECOND);
    await first.settle();
    first.clock.advance(0);
    const token = read(directory, 'db.jwt');
    await first.keeper.close();

    const again = startKeeper(t, makePlan(directory, { jwts: [DB] }));
    const before = read(directory, 'svid.pem');
    again.source.x509[0]!.message(x509Message(await makeSvid()));
    await again.settle();
    assert.equal(read(directory, 'svid.pem'), before, 'it waits for the token');
    again.clock.advance(SECOND);
    assert.notEqual(read(directory, 'svid.pem'), before);
    assert.equal(read(directory, 'db.jwt'), token);
    assert.deepEqual(
      again.keeper.health().parts.map(({ status }) => status),
      ['written', 'unwritten'],
    );
  });

  it('changes the certificate and the token of another identity as one, or waits a moment for the token', async (t) => {
    const directory = tempDir(t);
    const { source, settle, clock } = startKeeper(t, makePlan(directory, { jwts: [DB] }));
    const tokenOf = (sub: string) => async () => ({
      svids: [{ spiffeId: sub, svid: makeToken({ sub, exp: 4e9 }), hint: '' }],
    });
    const arrives = async (id: string) => {
      source.x509[0]!.message(x509Message(await makeSvid(id)));
      await settle();
    };
    source.tokens = tokenOf(WEB);
    await settle();
    await arrives(WEB);
    const token = read(directory, 'db.jwt');
    const before = read(directory, 'svid.pem');
    const asked = Promise.withResolvers<void>();
    source.tokens = () => asked.promise.then(tokenOf(API));
    await arrives(API);
    assert.equal(read(directory, 'svid.pem'), before);
    asked.resolve();
    await settle();
    await settle();
    const second = read(directory, 'svid.pem');
    assert.notEqual(second, before);
    assert.notEqual(read(directory, 'db.jwt'), token);

    source.tokens = () => Promise.reject(new Error('no token'));
    await arrives(WEB);
    assert.equal(read(directory, 'svid.pem'), second);
    clock.advance(SECOND);
    assert.notEqual(read(directory, 'svid.pem'), second, 'a token that does not come delays nothing for longer');
    // It is still the former one, and a renewed certificate of the same identity does not wait for it again.
    const third = read(directory, 'svid.pem');
    await arrives(WEB);
    assert.notEqual(read(directory, 'svid.pem'), third);
  });

  it('asks for tokens again as soon as there is an identity', async (t) => {
    const directory = tempDir(t);
    const jwtBundle = { file: { name: 'keys.json', mode: 0o644 }, form: 'jwks' } as const;
    const { source, settle } = startKeeper(t, makePlan(directory, { jwts: [DB], jwtBundle }));
    await settle();
    assert.equal(source.asked.length, 1, 'refused');
    source.bundles[0]!.end(new Error('no identity issued'));
    const token = makeToken({ exp: 4e9 });
    source.tokens = async () => ({ svids: [{ spiffeId: WEB, svid: token, hint: '' }] });
    source.x509[0]!.message(x509Message(await makeSvid()));
    assert.equal(source.bundles.length, 2, 'asked at once');
    source.bundles[1]!.message({ bundles: { 'spiffe://ilinux.io': Buffer.from('{"keys":[]}') } });
    await settle();
    await settle();
    assert.equal(read(directory, 'db.jwt'), token);
  });

  it('tells a reaction the kinds that it follows, and only of changes', async (t) => {
    const calls: (readonly Kind[])[] = [];
    const reaction: Reaction = {
      what: 'x',
      react: async (kinds) => void calls.push(kinds),
      close: async () => undefined,
    };
    const plan = makePlan(tempDir(t), { jwtBundle: { file: { name: 'keys.json', mode: 0o644 }, form: 'jwks' } });
    const { source, settle } = startKeeper(t, plan, { reactions: [{ reaction, kinds: ['x509'] }] });
    const svid = await makeSvid();
    const keys = (kid: string) => ({
      bundles: { 'spiffe://ilinux.io': Buffer.from(JSON.stringify({ keys: [{ kid }] })) },
    });
    source.bundles[0]!.message(keys('1'));
    source.x509[0]!.message(x509Message(svid));
    await settle();
    assert.deepEqual(calls, [['x509']]);
    assert.equal(read(plan.directory, 'keys.json'), '{"keys":[{"kid":"1"}]}\n');
    source.x509[0]!.message(x509Message(svid));
    source.bundles[0]!.message(keys('2'));
    await settle();
    assert.deepEqual(calls, [['x509']]);
    assert.equal(read(plan.directory, 'keys.json'), '{"keys":[{"kid":"2"}]}\n');
  });

  it('ends its streams when it is closed', async (t) => {
    const plan = makePlan(tempDir(t), { jwtBundle: { file: { name: 'keys.json', mode: 0o644 }, form: 'jwks' } });
    const { source, keeper, clock } = startKeeper(t, plan);
    assert.equal(source.open, 2);
    await keeper.close();
    assert.deepEqual([source.open, clock.pending], [0, 0]);
  });

  it('goes on after a full disk, is not ready meanwhile, and says so once', {
    skip: whyNoSmallDisk() ?? false,
  }, async (t) => {
    const disk = makeSmallDisk(t, 256);
    const directory = path.join(disk.directory, 'certs');
    const { source, clock, keeper, lines, settle } = startKeeper(t, makePlan(directory));
    source.x509[0]!.message(x509Message(await makeSvid()));
    await settle();
    const before = read(directory, 'key.pem');
    disk.fill();
    source.x509[0]!.message(x509Message(await makeSvid()));
    await settle();
    for (let round = 0; round < 10; round += 1) clock.advance(30 * SECOND);
    assert.equal(read(directory, 'key.pem'), before);
    const { parts, problems } = keeper.health();
    assert.equal(parts[0]!.status, 'failed');
    assert.match(problems[0]!, /the disk is full; free some space/);
    assert.equal(lines.filter(({ msg }) => /could not be written/.test(String(msg))).length, 1);
    disk.free();
    clock.advance(30 * SECOND);
    await settle();
    assert.notEqual(read(directory, 'key.pem'), before);
    assert.equal(keeper.health().parts[0]!.status, 'written');
    assert.equal(readdirSync(directory).filter((name) => name.startsWith('.generation-')).length, 1);
  });

  it('reports what it cannot repair: something else under a name', async (t) => {
    const directory = tempDir(t);
    const { source, clock, keeper, settle } = startKeeper(t, makePlan(directory));
    source.x509[0]!.message(x509Message(await makeSvid()));
    await settle();
    rmSync(path.join(directory, '.current'));
    writeFileSync(path.join(directory, '.current'), '');
    clock.advance(10 * SECOND);
    assert.match(keeper.health().problems.join(), /\.current in it is neither a file nor a link; remove it/);
    rmSync(path.join(directory, '.current'));
    clock.advance(30 * SECOND);
    await settle();
    assert.equal(keeper.health().parts[0]!.status, 'written');
  });
});
