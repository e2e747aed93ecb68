/**
 * FetchSecrets: one request, one response. Since it cannot hold names, it returns the secrets that the caller may have
 * now. If there is none, it fails: with UNAVAILABLE if an allowed SVID could not be issued, else with NOT_FOUND.
 */

import { SidekeyError } from '../base/index.ts';
import { type Asker, notedOf, recordText, refusalDetails, refuseCaller } from '../delivery/index.ts';
import { type Held, type Identities, keyOf, nothingFor } from '../identity/index.ts';
import { LimitError } from '../limits/index.ts';
import { ownedLog } from '../telemetry/index.ts';
import { type Call, type Message, Status, StatusError } from '../wire/index.ts';
import { entryBehind, everyName, isHeld, type Name, readName, secretFor, secretNow, spiffeIdBehind } from './names.ts';
import { checkTypeUrl, type DiscoveryRequest, readDiscoveryRequest } from './request.ts';
import { type EncodedSecret, isCurrent, type ValidationForm, validationFor } from './secrets.ts';
import { takeRequest, writeDiscoveryResponse } from './sotw.ts';
import type { StreamParts } from './stream-context.ts';
import { Subscription } from './subscription.ts';

/** Maximum number of names without a secret in a log line. */
const LOGGED = 10;
/** How often SVIDs are waited for that were to be issued again while others were issued. */
const TRIES = 3;

/** @throws StatusError, LimitError */
export async function fetchSecrets(call: Call, bytes: Uint8Array, parts: StreamParts): Promise<Message> {
  const { peer } = call;
  const request = readDiscoveryRequest(bytes, true);
  checkTypeUrl(request.typeUrl, false);
  const asker = { peer, caller: parts.identities.caller(peer), node: request.node };
  try {
    return await answer(call, asker, request, parts);
  } catch (error) {
    if (error instanceof StatusError || error instanceof LimitError) throw error;
    const { pid, uid } = peer.credentials;
    const log = ownedLog(parts.log, peer.owner.name, { peer: peer.id, pid, uid });
    throw refuseCaller(SidekeyError.from(error), asker, parts.decisions, log);
  }
}

async function answer(call: Call, asker: Asker, request: DiscoveryRequest, parts: StreamParts): Promise<Message> {
  const { identities, trustDomain, reservedNames } = parts;
  const { peer, caller } = asker;
  const validation = validationFor(request.node, parts.validation);
  const subscription = new Subscription('', false);
  const now = parts.clock.now();
  takeRequest(subscription, request, now);
  call.hold(subscription.bytes);
  if (!caller.attested) await call.untilEnd(caller.attestAfter(0));
  if (subscription.wildcard) {
    subscription.setWildcardNames(everyName(identities, caller), now);
    call.hold(subscription.bytes);
  }
  const names = subscription.takeDirty().map((name) => readName(name, trustDomain, reservedNames));
  const answers = await lookUp(call, asker, names, validation, identities);
  const end = parts.clock.now();
  // Meanwhile the caller may have lost its entry.
  const found = answers.filter((one, i): one is EncodedSecret => {
    if (isHeld(one) || !isCurrent(one, end)) return false;
    const entry = entryBehind(identities, caller, names[i]!);
    return one.certificate?.grant === (entry && caller.holds(entry) ? keyOf(entry) : undefined);
  });
  if (found.some(({ certificate }) => certificate !== undefined)) peer.verify();
  const push = subscription.push(found, [], end);
  if (push === undefined) throw foundNothing(asker, names, answers.filter(isHeld), parts);
  return writeDiscoveryResponse(push);
}

/**
 * The names' secrets as they are at the same time. Some answers wait for SVIDs that must be issued; the others are looked up
 * again then, since the bundle may have a new root meanwhile, under which those SVIDs are.
 */
async function lookUp(
  call: Call,
  { caller }: Asker,
  names: readonly Name[],
  validation: ValidationForm,
  identities: Identities,
): Promise<(EncodedSecret | Held)[]> {
  const now = (name: Name) => secretNow(identities, caller, name, validation);
  let answers = names.map(now);
  for (let tries = 1; answers.includes(undefined); tries += 1) {
    const waiting = names.map((name, i) => answers[i] ?? secretFor(identities, caller, name, validation));
    const later = await call.untilEnd(Promise.all(waiting));
    answers = later.map((answer, i) => {
      // A reason why there is no secret stays: another try would repeat a failed issuance.
      if (isHeld(answer)) return answer;
      return now(names[i]!) ?? (tries === TRIES ? answer : undefined);
    });
  }
  return answers.map((answer) => answer!);
}

function foundNothing(asker: Asker, asked: readonly Name[], held: readonly Held[], parts: StreamParts): StatusError {
  const { pid, uid } = asker.peer.credentials;
  const names = asked.map(({ name }) => name);
  const failed = held.find(({ reason }) => reason === 'issuance-failed');
  const first = failed ?? held[0] ?? nothingFor(asker.caller);
  const name = names.length === 0 ? undefined : names.slice(0, LOGGED).join(' ');
  const spiffeId = names.length === 1 ? spiffeIdBehind(parts.identities, asked[0]!) : undefined;
  const decision = parts.decisions.note(asker.peer.owner, () =>
    notedOf('fetch-nothing', asker, { ...first, name, spiffeId }),
  );
  const logged = { names: names.slice(0, LOGGED), held: held.slice(0, LOGGED) };
  const log = ownedLog(parts.log, asker.peer.owner.name, { peer: asker.peer.id, pid, uid });
  log.info({ decision, ...logged }, 'fetch found no secret');
  // The caller is not told what it lacks; the log and the decision have that for the operator.
  if (failed !== undefined) {
    const which = names.length === 1 ? `the SVID for the name ${names[0]}` : 'some of the requested SVIDs';
    const details = refusalDetails('ISSUANCE_FAILED', decision);
    return new StatusError(Status.UNAVAILABLE, `${which} could not be issued${recordText(decision)}`, { details });
  }
  const under = names.length === 1 ? `the name ${names[0]}` : 'any of the names';
  const why = names.length === 0 ? 'no entry matches this caller' : `no secret for this caller under ${under}`;
  const details = refusalDetails('NO_SECRET', decision);
  return new StatusError(Status.NOT_FOUND, `${why}${recordText(decision)}`, { details });
}
