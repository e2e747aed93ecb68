/**
 * One stream of secrets: ties its {@link Subscription} to what its caller may have. Whatever changes marks names dirty;
 * a push takes the dirty names, finds their secrets, and sends what is new.
 */

import { randomBytes } from 'node:crypto';
import type { Peer } from '../attest/types.ts';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { Decisions } from '../identity/decisions.ts';
import { dependsOnFacts, type Held, isStillGiven } from '../identity/held.ts';
import type { Identities } from '../identity/identities.ts';
import { LimitError } from '../limits/limit-error.ts';
import type { Turns } from '../limits/turns.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Counters } from '../telemetry/counters.ts';
import { type Log, ownedLog } from '../telemetry/log.ts';
import { Status, StatusError, type Stream, type StreamHandler } from '../wire/types.ts';
import {
  type Ledger,
  type LedgerStream,
  reportSecret,
  type SecretReport,
  type StreamEvent,
  type StreamReport,
} from './ledger.ts';
import { everyName, isHeld, secretFor, secretNow, spiffeIdBehind } from './names.ts';
import type { Node } from './node.ts';
import type { Place, Pushing, PushQueue } from './push-queue.ts';
import { type Asker, notedOf, recordText, refuseCaller } from './refusal.ts';
import { type EncodedSecret, isCurrent, type Validation, validationFor } from './secrets.ts';
import { type Change, type Missing, type Outcome, type Push, Subscription } from './subscription.ts';
import type { Taken, Variant } from './variant.ts';
import { WatchedNames } from './watched-names.ts';

export interface StreamParts {
  readonly identities: Identities;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  readonly queue: PushQueue;
  readonly turns: Turns;
  readonly counters: Counters;
  readonly ledger: Ledger;
  /** The record of what callers do not get. */
  readonly decisions: Decisions;
  /** How validation contexts check where the node's metadata does not say. */
  readonly validation: Validation;
}

/** Which method the stream was opened by. */
export interface StreamKind {
  readonly variant: Variant;
  readonly service: 'sds' | 'ads';
}

type Answer = EncodedSecret | Held;
type Answered = Extract<Outcome, { answered: unknown }>;

interface HeldName {
  readonly name: string;
  readonly held: Held;
}

/** Of more names than these, some are looked for in each of the owner's turns. */
const SLICE_NAMES = 256;
/** Of the names that one push holds, so many have a line in the log. */
const LOGGED_HOLDS = 10;
/** The most rejected names of one answer that the log names. */
const LOGGED_NAMES = 10;
/** Names that stand for nothing, on one connection: whoever has TLS clients ask for them could ask for any number. */
const MAX_UNKNOWN_NAMES = 1_000;

const noncePrefix = randomBytes(4).toString('hex');
let streams = 0;

export class SecretStream implements StreamHandler, LedgerStream, Pushing {
  readonly #stream: Stream;
  readonly #parts: StreamParts;
  readonly #kind: StreamKind;
  readonly #caller: Caller;
  readonly #subscription: Subscription;
  readonly #names: WatchedNames;
  readonly #place: Place;
  readonly #number: number;
  readonly #openedAt: number;
  #node: Node | undefined;
  #validation: Validation;
  #stopWildcard: (() => void) | undefined;
  #ended = false;
  /** How many things are awaited; what changes meanwhile is looked at afterwards. */
  #awaited = 0;
  /** When the last of the SVIDs that were sent ends. */
  #heldUntil = 0;
  /** Names that stand for nothing. */
  #unknown = 0;
  /** Memory that its caller's owner pays for, in bytes. */
  #charged = 0;
  /** The client's last reason to reject something, until it accepts. */
  #rejection: string | undefined;
  /** Names that a failing attestor left without an answer, and what they wait for. */
  #unanswered: Set<string> | undefined;
  #lastChance: Deadline | undefined;
  #stopRecovery: (() => void) | undefined;

  constructor(stream: Stream, kind: StreamKind, parts: StreamParts) {
    streams += 1;
    this.#stream = stream;
    this.#parts = parts;
    this.#kind = kind;
    this.#caller = parts.identities.caller(stream.peer);
    this.#subscription = new Subscription(`${noncePrefix}.${streams}.`, kind.variant.saysRemoved);
    this.#names = new WatchedNames(parts.identities, this.#caller, parts.trustDomain, (name) => this.#dirty(name));
    this.#place = parts.queue.place(this);
    this.#validation = parts.validation;
    this.#number = streams;
    this.#openedAt = parts.clock.now();
    parts.ledger.open(this);
    this.#tell('stream_opened', () => []);
  }

  get peer(): Peer {
    return this.#stream.peer;
  }

  get selectors(): readonly string[] {
    return this.#caller.shownSelectors;
  }

  get node(): Node | undefined {
    return this.#node;
  }

  get unknownNames(): number {
    return this.#unknown;
  }

  /** Made when something is said: most streams never say anything. */
  get #log(): Log {
    const { id, credentials } = this.#stream.peer;
    const who = { stream: this.#number, peer: id, pid: credentials.pid, uid: credentials.uid };
    return ownedLog(this.#parts.log, this.#stream.peer.owner.name, who);
  }

  get #asker(): Asker {
    return { peer: this.peer, caller: this.#caller, node: this.#node };
  }

  /** False: what is told of responses and ACKs would reach nobody. */
  get #isHeard(): boolean {
    return this.#parts.ledger.heard || this.#parts.log.isLevelEnabled('debug');
  }

  #debug(fields: () => object, message: string): void {
    if (this.#parts.log.isLevelEnabled('debug')) this.#log.debug(fields(), message);
  }

  #tell(type: StreamEvent['type'], names: () => readonly string[], detail?: string): void {
    this.#parts.ledger.tell(() => {
      const { pid, uid } = this.#stream.peer.credentials;
      const at = this.#parts.clock.now();
      return { type, at, stream: this.#number, pid, uid, node: this.#node?.id, names: names(), detail };
    });
  }

  report(now: number): StreamReport {
    return {
      id: this.#number,
      service: this.#kind.service,
      variant: this.#kind.variant.name,
      openedAt: this.#openedAt,
      secrets: this.#secrets(now),
    };
  }

  *#secrets(now: number): Iterable<SecretReport> {
    for (const asked of this.#subscription.asked) {
      const watched = this.#names.get(asked.name);
      // Undefined: the stream was closed while its report was read.
      if (watched !== undefined) yield reportSecret(asked, watched, now);
    }
  }

  *sentEntries(): Iterable<string> {
    for (const { name } of this.#subscription.asked) {
      const entry = this.#names.get(name)?.certificate?.entryId;
      if (entry !== undefined) yield entry;
    }
  }

  message(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      const { variant, service } = this.#kind;
      const first = !this.#subscription.begun;
      const admit = (bytes: number) => this.#admit(bytes);
      const options = { typeRequired: service === 'ads', now: this.#parts.clock.now(), admit };
      const taken = variant.take(this.#subscription, bytes, options);
      this.#charge();
      if (first) this.#begin(taken.node);
      this.#request(taken);
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
    this.#parts.queue.remove(this.#place);
    this.#parts.ledger.close(this);
    this.#lastChance?.cancel();
    this.#stopRecovery?.();
    this.#stopWildcard?.();
    for (const name of this.#names.names()) this.#known(name);
    this.#names.clear();
    this.#tell('stream_closed', () => []);
  }

  #begin(node: Node | undefined): void {
    this.#node = node;
    this.#validation = validationFor(node, this.#parts.validation);
    this.#debug(
      () => ({ node: node?.id, envoy: node?.version, names: this.#askedNames(), variant: this.#kind.variant.name }),
      'stream opened',
    );
  }

  /** Charges memory that is about to be kept to the caller's owner. @throws LimitError */
  #admit(bytes: number): void {
    if (bytes <= this.#charged) return;
    this.#stream.hold(bytes - this.#charged);
    this.#charged = bytes;
  }

  /** Charges the memory that is kept now to the caller's owner. @throws LimitError */
  #charge(): void {
    const { bytes } = this.#subscription;
    if (bytes > this.#charged) this.#stream.hold(bytes - this.#charged);
    else if (bytes < this.#charged) this.#stream.release(this.#charged - bytes);
    this.#charged = bytes;
  }

  #askedNames(): string[] {
    return Array.from(this.#subscription.asked, ({ name }) => name);
  }

  #request({ outcome, rejection }: Taken): void {
    if (outcome.kind === 'stale') {
      this.#debug(() => ({}), 'a request with a stale nonce is ignored');
      return;
    }
    if (outcome.kind === 'nack') this.#rejected(outcome, rejection ?? '');
    else if (outcome.kind === 'ack') {
      this.#rejection = undefined;
      this.#parts.counters.add('acks_total');
      if (this.#isHeard) this.#tellAcked(outcome);
      if (this.#haveCertificate(outcome)) this.#parts.ledger.certificateTaken(this.peer);
    }
    this.#follow(outcome);
    if (this.#subscription.wildcard) this.#stopWildcard ??= this.#watchEverything();
    else {
      this.#stopWildcard?.();
      this.#stopWildcard = undefined;
    }
    this.push();
  }

  #tellAcked(outcome: Answered): void {
    this.#debug(() => ({ names: namesOf(outcome) }), 'acknowledged');
    this.#tell('acked', () => namesOf(outcome));
  }

  #haveCertificate({ answered }: Answered): boolean {
    for (const { name } of answered) if (this.#names.get(name)?.certificate !== undefined) return true;
    return false;
  }

  /**
   * An Envoy may blame the wrong secret, so that every certificate of the proxy is made anew; never sent again as it is,
   * since it would be ACKed and not applied. Of one reason the log tells once.
   */
  #rejected(outcome: Answered, message: string): void {
    const { identities, ledger, counters, clock } = this.#parts;
    counters.add('nacks_total');
    if (message === this.#rejection) this.#debug(() => ({ names: namesOf(outcome) }), 'rejected again');
    else this.#log.warn({ ...shownNames(outcome), message }, 'the client rejects what it was sent');
    this.#rejection = message;
    this.#tell('rejected', () => namesOf(outcome), message);
    ledger.rejected(this.#stream.peer, clock, (entryId) => identities.reissue(entryId));
    const aBundle = outcome.answered.some(({ name }) => this.#isBundle(name));
    if (aBundle) ledger.bundleRejected(this, () => this.#retryBundles());
  }

  /**
   * A bundle is rejected because of a certificate, be it one of the same listener or one before it in the response, and
   * then some listener may never have been given it. The same bytes would be ACKed and not applied.
   */
  #retryBundles(): void {
    for (const { name, version, rejection } of this.#subscription.asked) {
      if (rejection === undefined || rejection.version !== version || !this.#isBundle(name)) continue;
      const watched = this.#names.get(name)!;
      watched.respelled = !watched.respelled;
      this.#dirty(name);
    }
  }

  #isBundle(text: string): boolean {
    const kind = this.#names.get(text)?.name.kind;
    return kind === 'bundle' || kind === 'all';
  }

  /** What the wildcard stands for changes with the caller's entries, and with the bundles that these federate with. */
  #watchEverything(): () => void {
    const changed = () => this.#pushSoon();
    const stops = [this.#caller.watchEntries(changed), this.#parts.identities.watchBundles(changed)];
    this.#caller.waits(1);
    stops.push(() => this.#caller.waits(-1));
    return () => {
      for (const stop of stops) stop();
    };
  }

  #follow(change: Change): void {
    for (const name of change.removed) {
      this.#known(name);
      this.#names.remove(name);
    }
    for (const name of change.added) this.#names.add(name);
  }

  #dirty(name: string): void {
    this.#subscription.markDirty(name);
    this.#pushSoon();
  }

  #pushSoon(): void {
    if (!this.#ended) this.#parts.queue.add(this.#place);
  }

  /** Sends what is to be sent, and says whether that was something. What goes wrong is no reason to fail other streams. */
  push(): boolean {
    try {
      return this.#pushNow();
    } catch (error) {
      if (error instanceof LimitError) {
        this.#end(Status.RESOURCE_EXHAUSTED, error.message);
        return false;
      }
      this.#log.error({ err: error }, 'a stream failed');
      this.#end(Status.INTERNAL, 'Sidekey failed; its log has the reason');
      return false;
    }
  }

  #pushNow(): boolean {
    if (this.#ended || this.#awaited > 0) return false;
    if (!this.#caller.attested) {
      this.#await(this.#caller.attestAfter(0));
      return false;
    }
    if (this.#subscription.wildcard) {
      const names = everyName(this.#parts.identities, this.#caller);
      this.#follow(this.#subscription.setWildcardNames(names, this.#parts.clock.now()));
      this.#charge();
    }
    if (!this.#subscription.canPush) return false;
    const names = this.#subscription.takeDirty();
    if (names.length > SLICE_NAMES) {
      this.#await(this.#settleInSlices(names));
      return false;
    }
    const answers = names.map((name) => this.#find(name));
    if (answers.every((answer): answer is Answer => !(answer instanceof Promise))) return this.#send(names, answers);
    this.#await(this.#settle(names, answers));
    return false;
  }

  /** The same for very many names, which would keep the event loop for long: some in each of the owner's turns. */
  async #settleInSlices(names: readonly string[]): Promise<void> {
    const found: string[] = [];
    const answers: (Answer | Promise<Answer>)[] = [];
    for (let at = 0; at < names.length && !this.#ended; at += SLICE_NAMES) {
      const held: HeldName[] = [];
      for (const name of names.slice(at, at + SLICE_NAMES)) {
        // It may have been dropped meanwhile.
        if (this.#names.get(name) === undefined) continue;
        const answer = this.#find(name);
        // Looked at when all are there; until then nobody else handles it.
        if (answer instanceof Promise) answer.catch(() => undefined);
        else if (isHeld(answer)) held.push({ name, held: answer });
        found.push(name);
        answers.push(answer);
      }
      if (held.length > 0) this.#hold(held, this.#parts.clock.now());
      await this.#parts.turns.next(this.peer.owner.accounts[0]);
    }
    await this.#settle(found, answers);
  }

  /** The secret behind a name; its next change will be told. */
  #find(text: string): Answer | Promise<Answer> {
    const { name, respelled } = this.#names.followEntry(text)!;
    return secretFor(this.#parts.identities, this.#caller, name, this.#validation, respelled);
  }

  /** Sends what could be found, and then looks at what went wrong with the rest. */
  async #settle(names: readonly string[], answers: readonly (Answer | Promise<Answer>)[]): Promise<void> {
    const foundNames: string[] = [];
    const found: Answer[] = [];
    let failure: unknown;
    const waiting = answers.filter((answer) => answer instanceof Promise);
    const settled = (await Promise.allSettled(waiting)).values();
    for (const [i, answer] of answers.entries()) {
      const name = names[i]!;
      const result =
        answer instanceof Promise ? settled.next().value! : { status: 'fulfilled' as const, value: answer };
      if (result.status === 'fulfilled') {
        foundNames.push(name);
        found.push(this.#latest(name, result.value));
      } else {
        this.#unanswered ??= new Set();
        this.#unanswered.add(name);
        failure ??= result.reason;
      }
    }
    this.#send(foundNames, found);
    if (failure !== undefined) throw failure;
  }

  /** What changed while it was looked for is looked at again, so that the answer has all of its names; or comes later. */
  #latest(text: string, answer: Answer): Answer {
    if (!this.#subscription.takeBack(text)) return answer;
    const watched = this.#names.followEntry(text);
    if (watched === undefined) return answer;
    const { name, respelled } = watched;
    const latest = secretNow(this.#parts.identities, this.#caller, name, this.#validation, respelled);
    if (latest === undefined) this.#dirty(text);
    return latest ?? answer;
  }

  #send(names: readonly string[], answers: readonly Answer[]): boolean {
    if (this.#ended) return false;
    const now = this.#parts.clock.now();
    const found: EncodedSecret[] = [];
    const held: HeldName[] = [];
    let withKey = false;
    for (const [i, answer] of answers.entries()) {
      const name = names[i]!;
      if (isHeld(answer)) held.push({ name, held: answer });
      else if (isCurrent(answer, now)) {
        this.#known(name);
        withKey ||= answer.certificate !== undefined;
        found.push(answer);
      } else this.#dirty(name);
    }
    if (held.length > 0) this.#hold(held, now);
    if (this.#ended) return false;
    if (withKey && !this.#verified()) return false;
    const push = this.#subscription.push(found, missingOf(held), now);
    if (push === undefined) return false;
    if (withKey) this.#noteCertificates(push.resources);
    this.#parts.counters.add('responses_total');
    this.#stream.send(this.#kind.variant.write(push));
    if (this.#isHeard) this.#tellSent(push);
    return true;
  }

  #noteCertificates(sent: readonly EncodedSecret[]): void {
    for (const { name, certificate } of sent) {
      const watched = this.#names.get(name);
      if (watched === undefined || certificate === undefined) continue;
      watched.certificate = certificate;
      this.#caller.given(certificate.entryId, certificate.notAfter);
      this.#heldUntil = Math.max(this.#heldUntil, certificate.notAfter);
    }
  }

  #tellSent({ resources, removed, versionInfo }: Push<EncodedSecret>): void {
    const names = resources.map(({ name }) => name);
    this.#debug(() => ({ names, removed, version: versionInfo }), 'sent');
    if (names.length > 0) this.#tell('sent', () => names, versionInfo);
    if (removed.length > 0) this.#tell('removed', () => removed);
  }

  /** Notes why names are held; of many at once the log has a few and the number of the rest. */
  #hold(names: readonly HeldName[], now: number): void {
    const other = names.filter(({ name, held }) => {
      const watched = this.#names.get(name);
      if (watched === undefined || watched.held?.detail === held.detail) return false;
      this.#known(name);
      watched.held = held;
      watched.heldSince = now;
      const spiffeId = () => spiffeIdBehind(this.#parts.identities, watched.name);
      const noted = () => notedOf('held', this.#asker, { ...held, name, spiffeId: spiffeId() });
      watched.decision = this.#parts.decisions.hold(this.peer.owner, held.reason, noted, watched.decision);
      if (held.reason === 'unknown-name') this.#unknown += 1;
      if (dependsOnFacts(held)) this.#caller.waits(1);
      this.#parts.counters.add('names_held_total');
      return true;
    });
    if (other.length === 0) return;
    const log = this.#log;
    for (const { name, held } of other.slice(0, LOGGED_HOLDS)) {
      const decision = this.#names.get(name)?.decision?.id;
      log.info({ name, reason: held.reason, detail: held.detail, decision }, 'name held');
    }
    if (other.length > LOGGED_HOLDS) log.info({ more: other.length - LOGGED_HOLDS }, 'more names held');
    for (const { name, held } of other) this.#tell('held', () => [name], held.reason);
    if (this.#unknown > 0) this.#limitUnknown();
  }

  /** The name is not held any more, or for another reason. */
  #known(name: string): void {
    const watched = this.#names.get(name);
    if (watched?.held === undefined) return;
    if (watched.held.reason === 'unknown-name') this.#unknown -= 1;
    if (dependsOnFacts(watched.held)) this.#caller.waits(-1);
    watched.held = undefined;
    if (watched.decision !== undefined) this.#parts.decisions.end(watched.decision);
  }

  #limitUnknown(): void {
    if (this.#parts.ledger.unknownNamesOf(this.#stream.peer) <= MAX_UNKNOWN_NAMES) return;
    this.#parts.counters.add('names_refused_total');
    const limit = `more than ${MAX_UNKNOWN_NAMES} names that stand for nothing (no SPIFFE ID, no alias)`;
    this.#log.warn({ limit: MAX_UNKNOWN_NAMES }, 'a connection asks for too many names that stand for nothing');
    const detail = `this connection asks for ${limit}`;
    const noted = () => notedOf('refused', this.#asker, { reason: 'unknown-names', detail });
    const decision = this.#parts.decisions.note(this.peer.owner, noted);
    this.#end(Status.RESOURCE_EXHAUSTED, `${detail}${recordText(decision)}`);
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
        this.push();
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
    const { status, message } = refuseCaller(failure, this.#asker, this.#parts.decisions, this.#log);
    this.#end(status, message);
  }

  /** Looks for what a failing attestor left without an answer. */
  #again(): void {
    this.#stopRecovery?.();
    this.#stopRecovery = undefined;
    this.#lastChance?.cancel();
    this.#lastChance = undefined;
    for (const name of this.#unanswered ?? []) this.#subscription.markDirty(name);
    this.#unanswered = undefined;
    this.#pushSoon();
  }

  #end(status: (typeof Status)[keyof typeof Status], details: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end(status, details);
  }
}

function missingOf(names: readonly HeldName[]): Missing[] {
  const missing: Missing[] = [];
  for (const { name, held } of names) {
    if (!isStillGiven(held)) missing.push({ name, mayCome: held.reason !== 'unknown-name' });
  }
  return missing;
}

/** A few of the names, and how many more there are: a line is no larger for a stream that has thousands. */
function shownNames(outcome: Answered): { names: string[]; more?: number } {
  const names = namesOf(outcome);
  const more = names.length - LOGGED_NAMES;
  return more > 0 ? { names: names.slice(0, LOGGED_NAMES), more } : { names };
}

function namesOf({ answered }: Answered): string[] {
  return answered.map(({ name }) => name);
}
