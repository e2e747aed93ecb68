import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { generateRsaKeyPair, type RsaKeyPair } from '../../src/ca/key-pair.ts';
import { RsaKeys } from '../../src/ca/rsa-keys.ts';

/** A generator whose keys the test finishes. */
function scripted() {
  const begun: PromiseWithResolvers<RsaKeyPair>[] = [];
  const keys = new RsaKeys(() => {
    const made = Promise.withResolvers<RsaKeyPair>();
    begun.push(made);
    return made.promise;
  });
  const key = (name: string) => ({ type: 'rsa-2048', pkcs8: Buffer.from(name) }) as RsaKeyPair;
  return {
    keys,
    begun,
    /** Finishes the oldest key that is being made. */
    async finish(name = '', error?: Error) {
      const made = begun.shift()!;
      if (error === undefined) made.resolve(key(name));
      else made.reject(error);
      await turn();
    },
  };
}

const nameOf = ({ pkcs8 }: RsaKeyPair) => pkcs8.toString();

test('an RSA key has 2048 bits, the exponent 65537, and encodings that OpenSSL reads', async () => {
  const { pkcs8, spki } = await generateRsaKeyPair();
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  assert.deepEqual(key.asymmetricKeyDetails, { modulusLength: 2048, publicExponent: 65_537n });
  assert.deepEqual(createPublicKey(key).export({ format: 'der', type: 'spki' }), spki);
});

test('a key is made in the thread pool: the event loop turns meanwhile', async () => {
  let turns = 0;
  let going = true;
  const made = generateRsaKeyPair().finally(() => {
    going = false;
  });
  while (going) {
    turns += 1;
    await turn();
  }
  await made;
  assert.ok(turns > 10, `${turns} turns`);
});

test('a few are made at once, however many wait, and a few in advance', async () => {
  const { keys, begun, finish } = scripted();
  assert.equal(begun.length, 0);
  const taken = Array.from({ length: 50 }, () => keys.take(0));
  const atOnce = begun.length;
  assert.ok(atOnce >= 1 && atOnce <= 4 && atOnce <= Math.max(1, availableParallelism() / 2), `${atOnce} at once`);
  for (let i = 0; i < 50; i += 1) await finish(`${i}`);
  assert.deepEqual(
    (await Promise.all(taken)).map(nameOf).toSorted(),
    Array.from({ length: 50 }, (_, i) => `${i}`).sort(),
  );
  let inAdvance = 0;
  for (; begun.length > 0; inAdvance += 1) await finish('in advance');
  assert.equal(inAdvance, 8);
  assert.equal(nameOf(await keys.take(0)), 'in advance');
  assert.equal(begun.length, 1, 'it is made up for');
});

test('of those who wait, the SVID that ends first gets its key first, and one that has none before all', async () => {
  const { keys, begun, finish } = scripted();
  const order: string[] = [];
  const take = (name: string, neededBy: number) => keys.take(neededBy).then(() => order.push(name));
  void take('first', 9);
  const atOnce = begun.length;
  for (let more = 1; more < atOnce; more += 1) void take(`first ${more}`, 9);
  for (const [name, neededBy] of [
    ['far', 9e9],
    ['near', 10],
    ['none', 0],
    ['far too', 9e9],
    ['none too', 0],
  ] as const) {
    void take(name, neededBy);
  }
  for (let i = 0; i < 6; i += 1) await finish();
  assert.deepEqual(
    order.filter((name) => !name.startsWith('first')),
    ['none', 'none too', 'near', 'far', 'far too'].slice(0, 6 - atOnce),
  );
});

test('a key that cannot be made is an error for one who waits, and the others get theirs', async () => {
  const { keys, begun, finish } = scripted();
  const [one, other] = [keys.take(0), keys.take(0)];
  const failed = assert.rejects(one, { code: 'ERR_CA', message: 'no RSA key could be made: out of memory' });
  await finish('', new Error('out of memory'));
  await failed;
  await finish('b');
  assert.equal(nameOf(await other), 'b');
  while (begun.length > 0) await finish('', new Error('out of memory'));
  assert.equal(begun.length, 0, 'it does not try again and again in advance');
  const next = keys.take(0);
  await finish('c');
  assert.equal(nameOf(await next), 'c');
});

test('all who wait at the end are refused', async () => {
  const { keys, finish } = scripted();
  const waiting = [keys.take(0), keys.take(0)].map((one) => assert.rejects(one, { code: 'ERR_CA' }));
  keys.close();
  await Promise.all(waiting);
  await finish('late');
  await assert.rejects(keys.take(0), { code: 'ERR_CA', message: 'the authority is closed' });
});
