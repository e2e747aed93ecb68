/** Fuzzes `src/sds/request.ts`: a request is read as the generated code reads it, or refused by a rule; nothing else. */

import assert from 'node:assert/strict';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { checkTypeUrl, MAX_NAME_LENGTH, MAX_NAMES, readDiscoveryRequest } from '../../src/sds/request.ts';
import { Status, StatusError } from '../../src/wire/types.ts';
import { mutate, mutateFields } from './mutate.ts';
import { Random } from './random.ts';
import { captured, made, small } from './requests.ts';
import { Broken, type Target } from './target.ts';

export const fuzzDecoder: Target = async (seed, goOn) => {
  const begin = performance.now();
  let input = 0;
  let refused = 0;
  for (; goOn(input); input += 1) {
    const random = Random.of(seed, input);
    const bytes = makeInput(random);
    try {
      if (!reads(bytes, random.chance(0.8))) refused += 1;
    } catch (error) {
      throw new Broken('decoder', seed, input, bytes.toString('hex').slice(0, 8_192), error);
    }
  }
  return { inputs: input, seconds: (performance.now() - begin) / 1_000, notes: [`${refused} refused`] };
};

function makeInput(random: Random): Buffer {
  const kind = random.below(20);
  if (kind === 0) return random.bytes(random.below(300));
  if (kind === 1) return (random.chance(0.5) ? mutate : mutateFields)(random, random.pick(captured), captured);
  const message = random.chance(0.5) ? random.pick(small) : made(random);
  return kind < 6 ? mutate(random, message, small) : mutateFields(random, message, small);
}

/** False where it was refused. */
function reads(bytes: Buffer, withNode: boolean): boolean {
  let request: ReturnType<typeof readDiscoveryRequest>;
  try {
    request = readDiscoveryRequest(bytes, withNode);
    checkTypeUrl(request.typeUrl, false);
  } catch (error) {
    assert.ok(error instanceof StatusError && error.status === Status.INVALID_ARGUMENT, String(error));
    assert.ok(error.message.length < 1_000, 'the message is short');
    return false;
  }
  assert.ok(request.resourceNames.length <= MAX_NAMES);
  for (const name of request.resourceNames) assert.ok(name.length <= MAX_NAME_LENGTH);
  const reference = decoded(bytes);
  if (reference === undefined || !isFlat(reference)) return true;
  const { resourceNames, typeUrl, responseNonce, errorDetail } = request;
  assert.equal(errorDetail, undefined);
  assert.deepEqual(
    { resourceNames, typeUrl, responseNonce },
    {
      resourceNames: reference.resourceNames,
      typeUrl: reference.typeUrl,
      responseNonce: reference.responseNonce,
    },
  );
  return true;
}

/** The generated code is no reference for messages in messages: it reads on where an inner one ends too late. */
function isFlat(request: DiscoveryRequest): boolean {
  return request.node === undefined && request.errorDetail === undefined && request.resourceLocators.length === 0;
}

/** Undefined where a part that we don't read is wrong. */
function decoded(bytes: Buffer): DiscoveryRequest | undefined {
  try {
    return DiscoveryRequest.decode(bytes);
  } catch {
    return undefined;
  }
}
