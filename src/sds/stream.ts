/**
 * StreamSecrets: ties one stream's {@link Subscription} to what its caller may have. Whatever changes marks names dirty;
 * a push takes the dirty names, finds their secrets, and sends what is new.
 */

import { randomBytes } from 'node:crypto';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { Held } from '../identity/held.ts';
import type { Identities } from '../identity/identities.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Counters } from '../telemetry/counters.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, StatusError, type Stream, type StreamHandler } from '../wire/types.ts';
import { everyName, isHeld, secretFor, secretNow } from './names.ts';
import type { PushQueue } from './push-queue.ts';
import { refuseCaller } from './refusal.ts';
import { checkTypeUrl, type DiscoveryRequest, readDiscoveryRequest } from './request.ts';
import { writeDiscoveryResponse } from './response.ts';
import { type EncodedSecret, isCurrent, type Validation, validationFor } from './secrets.ts';
import { Subscription } from './subscription.ts';
import { WatchedNames } from './watched-names.ts';

export interface StreamParts {
  readonly identities: Identities;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  readonly queue: PushQueue;
  readonly counters: Counters;
  /** How validation contexts check where the node's metadata does not say. */
  readonly validation: Validation;
}

type Answer = EncodedSecret | Held;

/** Of the names that one push holds, so many have a line in the log. */
const LOGGED_HOLDS = 10;
/** Of a client's text, so many characters go into the log. */
const LONGEST_LOGGED = 1_000;

const noncePrefix = randomBytes(4).toString('hex');
let streams = 0;

export class SecretStream implements StreamHandler {
  readonly #stream: Stream;
  readonly #parts: StreamParts;
  readonly #caller: Caller;
  readonly #subscription: Subscription;
  readonly #names: WatchedNames;
  readonly #number: number;
  readonly #push = () => this.#pushOrCrash();
  #validation: Validation;
  #stopWildcard: (() => void) | undefined;
  #begun = false;
  #ended = false;
  /** How many things are awaited; what changes meanwhile is looked at afterwards. */
  #awaited = 0;
  /** When the last of the SVIDs that were sent ends. */
  #heldUntil = 0;
  /** Names that a failing attestor left without an answer, and what they wait for. */
  readonly #unanswered = new Set<string>();
  #lastChance: Deadline | undefined;
  #stopRecovery: (() => void) | undefined;

  constructor(stream: Stream, parts: StreamParts) {
    streams += 1;
    this.#stream = stream;
    this.#parts = parts;
    this.#caller = parts.identities.caller(stream.peer);
    this.#subscription = new Subscription(`${noncePrefix}.${streams}.`);
    this.#names = new WatchedNames(parts.identities, this.#caller, parts.trustDomain, (name) => this.#dirty(name));
    this.#validation = parts.validation;
    this.#number = streams;
  }

  /** Made when something is said: most streams never say anything. */
  get #log(): Log {
    const { id, credentials } = this.#stream.peer;
    return this.#parts.log.child({ stream: this.#number, peer: id, pid: credentials.pid, uid: credentials.uid });
  }

  #debug(fields: () => object, message: string): void {
    if (this.#parts.log.isLevelEnabled('debug')) this.#log.debug(fields(), message);
  }

  message(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      const request = readDiscoveryRequest(bytes, !this.#begun);
      checkTypeUrl(request.typeUrl);
      this.#request(request);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.#parts.counters.add('requests_invalid_total');
      this.#log.warn({ err: error }, 'a request that breaks a rule ends its stream');
      this.#end(error.status, error.message);
    }
  }

  halfClose(): void {
    this.#end(Status.OK, '');
  }

  closed(): void {
    this.#ended = true;
    this.#parts.queue.remove(this.#push);
    this.#lastChance?.cancel();
    this.#stopRecovery?.();
    this.#stopWildcard?.();
    this.#names.clear();
  }

  #request(request: DiscoveryRequest): void {
    if (!this.#begun) {
      this.#begun = true;
      const { node } = request;
      this.#validation = validationFor(node, this.#parts.validation);
      this.#debug(() => ({ node: node?.id, envoy: node?.version, names: request.resourceNames }), 'stream opened');
    }
    const outcome = this.#subscription.request(request);
    if (outcome.kind === 'stale') {
      this.#debug(() => ({ nonce: request.responseNonce }), 'a request with a stale nonce is ignored');
      return;
    }
    if (outcome.kind === 'nack') {
      this.#parts.counters.add('nacks_total');
      const message = request.errorDetail!.message.slice(0, LONGEST_LOGGED);
      this.#log.warn({ names: outcome.answered, message }, 'the client rejects what it was sent');
    } else if (outcome.kind === 'ack') {
      this.#parts.counters.add('acks_total');
      this.#debug(() => ({ names: outcome.answered }), 'acknowledged');
    }
    this.#follow(outcome);
    if (this.#subscription.wildcard) this.#stopWildcard ??= this.#caller.watchEntries(() => this.#pushSoon());
    else {
      this.#stopWildcard?.();
      this.#stopWildcard = undefined;
    }
    this.#push();
  }

  #follow(change: { readonly added: readonly string[]; readonly removed: readonly string[] }): void {
    for (const name of change.removed) this.#names.remove(name);
    for (const name of change.added) this.#names.add(name);
  }

  #dirty(name: string): void {
    this.#subscription.markDirty(name);
    this.#pushSoon();
  }

  #pushSoon(): void {
    if (!this.#ended) this.#parts.queue.add(this.#push);
  }

  /** What goes wrong on one stream is no reason to fail the others. */
  #pushOrCrash(): void {
    try {
      this.#pushNow();
    } catch (error) {
      this.#log.error({ err: error }, 'a stream failed');
      this.#end(Status.INTERNAL, 'Sidekey failed; its log has the reason');
    }
  }

  #pushNow(): void {
    if (this.#ended || this.#awaited > 0) return;
    if (!this.#caller.attested) {
      this.#await(this.#caller.attestAfter(0));
      return;
    }
    if (this.#subscription.wildcard) {
      const names = everyName(this.#parts.identities, this.#caller, this.#parts.trustDomain);
      this.#follow(this.#subscription.setWildcardNames(names));
    }
    const names = this.#subscription.takeDirty();
    if (names.length === 0) return;
    const answers = names.map((name) => this.#find(name));
    if (answers.some((answer) => answer instanceof Promise)) this.#await(this.#settle(names, answers));
    else this.#send(names, answers as Answer[]);
  }

  /** The secret behind a name; its next change will be told. */
  #find(text: string): Answer | Promise<Answer> {
    this.#names.followEntry(text);
    return secretFor(this.#parts.identities, this.#caller, this.#names.get(text)!.name, this.#validation);
  }

  /** Sends what could be found, and then looks at what went wrong with the rest. */
  async #settle(names: readonly string[], answers: readonly (Answer | Promise<Answer>)[]): Promise<void> {
    const foundNames: string[] = [];
    const found: Answer[] = [];
    let failure: unknown;
    for (const [i, result] of (await Promise.allSettled(answers)).entries()) {
      const name = names[i]!;
      if (result.status === 'fulfilled') {
        foundNames.push(name);
        found.push(this.#latest(name, result.value));
      } else {
        this.#unanswered.add(name);
        failure ??= result.reason;
      }
    }
    this.#send(foundNames, found);
    if (failure !== undefined) throw failure;
  }

  /** What changed while it was looked for is looked at again, so that the answer has all of its names; or comes later. */
  #latest(text: string, answer: Answer): Answer {
    const watched = this.#names.get(text);
    if (watched === undefined || !this.#subscription.takeBack(text)) return answer;
    this.#names.followEntry(text);
    const latest = secretNow(this.#parts.identities, this.#caller, watched.name, this.#validation);
    if (latest === undefined) this.#dirty(text);
    return latest ?? answer;
  }

  #send(names: readonly string[], answers: readonly Answer[]): void {
    if (this.#ended) return;
    const now = this.#parts.clock.now();
    const found: EncodedSecret[] = [];
    const held: { name: string; held: Held }[] = [];
    answers.forEach((answer, i) => {
      if (isHeld(answer)) held.push({ name: names[i]!, held: answer });
      else if (isCurrent(answer, now)) found.push(answer);
      else this.#dirty(names[i]!);
    });
    this.#hold(held);
    if (found.some(({ svid }) => svid !== undefined) && !this.#verified()) return;
    const push = this.#subscription.push(found);
    if (push === undefined) return;
    for (const { name, svid } of push.resources) {
      const watched = this.#names.get(name);
      if (watched !== undefined) watched.held = undefined;
      if (svid !== undefined) this.#heldUntil = Math.max(this.#heldUntil, svid.notAfter);
    }
    this.#parts.counters.add('responses_total');
    this.#stream.send(writeDiscoveryResponse(push));
    this.#debug(() => ({ names: push.resources.map(({ name }) => name), version: push.versionInfo }), 'sent');
  }

  /** Notes why names are held; of many at once the log has a few and the number of the rest. */
  #hold(names: readonly { readonly name: string; readonly held: Held }[]): void {
    const other = names.filter(({ name, held }) => {
      const watched = this.#names.get(name);
      if (watched === undefined || watched.held === held.detail) return false;
      watched.held = held.detail;
      this.#parts.counters.add('names_held_total');
      return true;
    });
    if (other.length === 0) return;
    const log = this.#log;
    for (const { name, held } of other.slice(0, LOGGED_HOLDS)) {
      log.info({ name, reason: held.reason, detail: held.detail }, 'name held');
    }
    if (other.length > LOGGED_HOLDS) log.info({ more: other.length - LOGGED_HOLDS }, 'more names held');
  }

  /** The last look before a key leaves. */
  #verified(): boolean {
    try {
      this.#stream.peer.verify();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Awaits, and then looks at whatever is dirty. */
  #await(work: Promise<void>): void {
    this.#awaited += 1;
    work
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#awaited -= 1;
        this.#push();
      });
  }

  /**
   * A failing attestor ends a stream, but for one that holds an SVID: there it is tried again until the SVID's end, and
   * the caller tells when it worked.
   */
  #fail(error: unknown): void {
    if (this.#ended) return;
    const failure = SidekeyError.from(error);
    const { clock } = this.#parts;
    if (failure.code === 'ERR_ATTESTATION_FAILED' && clock.now() < this.#heldUntil) {
      this.#stopRecovery ??= this.#caller.watchRecovery(() => this.#again());
      this.#lastChance ??= clock.at(this.#heldUntil, () => this.#again());
      return;
    }
    if (failure.code === 'ERR_ATTESTATION_FAILED') this.#parts.counters.add('attestations_failed_total');
    const { status, message } = refuseCaller(failure, this.#log);
    this.#end(status, message);
  }

  /** Looks for what a failing attestor left without an answer. */
  #again(): void {
    this.#stopRecovery?.();
    this.#stopRecovery = undefined;
    this.#lastChance?.cancel();
    this.#lastChance = undefined;
    for (const name of this.#unanswered) this.#subscription.markDirty(name);
    this.#unanswered.clear();
    this.#pushSoon();
  }

  #end(status: (typeof Status)[keyof typeof Status], details: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end(status, details);
  }
}
