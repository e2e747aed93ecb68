/**
 * StreamSecrets: ties one stream's {@link Subscription} to what its caller may have. Whatever changes marks names dirty;
 * a push takes the dirty names, finds their secrets, and sends what is new.
 */

import { randomBytes } from 'node:crypto';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Caller } from '../identity/caller.ts';
import { newDecisionId } from '../identity/decision.ts';
import type { Held } from '../identity/held.ts';
import type { Identities } from '../identity/identities.ts';
import type { Entry } from '../registry/types.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, StatusError, type Stream, type StreamHandler } from '../wire/types.ts';
import { entryBehind, everyName, isHeld, type Name, readName, secretFor } from './names.ts';
import type { PushQueue } from './push-queue.ts';
import { checkTypeUrl, type DiscoveryRequest, readDiscoveryRequest } from './request.ts';
import { writeDiscoveryResponse } from './response.ts';
import { type EncodedSecret, isCurrent, type Validation } from './secrets.ts';
import { Subscription } from './subscription.ts';

export interface StreamParts {
  readonly identities: Identities;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  readonly queue: PushQueue;
  /** How validation contexts check where the node's metadata does not say. */
  readonly validation: Validation;
}

/** A name that the client asks for, and what it is watched by. */
interface Tracked {
  readonly name: Name;
  readonly stops: (() => void)[];
  /** The entry whose SVID is watched. */
  entry: Entry | undefined;
  stopSvid: (() => void) | undefined;
  /** Why it was held when last looked at. */
  held: string | undefined;
}

const noncePrefix = randomBytes(4).toString('hex');
let streams = 0;

export class SecretStream implements StreamHandler {
  readonly #stream: Stream;
  readonly #parts: StreamParts;
  readonly #caller: Caller;
  readonly #subscription: Subscription;
  readonly #tracked = new Map<string, Tracked>();
  readonly #log: Log;
  readonly #push = () => this.#pushNow();
  #validation: Validation;
  #stopWildcard: (() => void) | undefined;
  #begun = false;
  #ended = false;
  /** How many things are awaited; what changes meanwhile is looked at afterwards. */
  #awaited = 0;
  /** When the last of the SVIDs that were sent ends. */
  #heldUntil = 0;
  #lastChance: Deadline | undefined;

  constructor(stream: Stream, parts: StreamParts) {
    streams += 1;
    this.#stream = stream;
    this.#parts = parts;
    this.#caller = parts.identities.caller(stream.peer);
    this.#subscription = new Subscription(`${noncePrefix}.${streams}.`);
    this.#validation = parts.validation;
    const { pid, uid } = stream.peer.credentials;
    this.#log = parts.log.child({ stream: streams, peer: stream.peer.id, pid, uid });
  }

  message(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      const request = readDiscoveryRequest(bytes, !this.#begun);
      checkTypeUrl(request.typeUrl);
      this.#request(request);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
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
    this.#stopWildcard?.();
    for (const name of [...this.#tracked.keys()]) this.#untrack(name);
  }

  #request(request: DiscoveryRequest): void {
    if (!this.#begun) {
      this.#begun = true;
      const { node } = request;
      if (node?.disableSpiffeCertValidation !== undefined) {
        this.#validation = node.disableSpiffeCertValidation ? 'plain' : 'spiffe';
      }
      this.#log.debug({ node: node?.id, envoy: node?.version, names: request.resourceNames }, 'stream opened');
    }
    const outcome = this.#subscription.request(request);
    if (outcome.kind === 'stale') {
      this.#log.debug({ nonce: request.responseNonce }, 'a request with a stale nonce is ignored');
      return;
    }
    if (outcome.kind === 'nack') {
      const { message } = request.errorDetail!;
      this.#log.warn({ names: outcome.answered, message }, 'the client rejects what it was sent');
    } else if (outcome.kind === 'ack') this.#log.debug({ names: outcome.answered }, 'acknowledged');
    this.#follow(outcome);
    if (this.#subscription.wildcard) this.#followWildcard();
    this.#pushNow();
  }

  #follow(change: { readonly added: readonly string[]; readonly removed: readonly string[] }): void {
    for (const name of change.removed) this.#untrack(name);
    for (const name of change.added) this.#track(name);
  }

  #followWildcard(): void {
    this.#stopWildcard ??= this.#caller.watchEntries(() => this.#pushSoon());
  }

  #track(text: string): void {
    const { identities, trustDomain } = this.#parts;
    const name = readName(text, trustDomain);
    const dirty = () => this.#dirty(text);
    const stops: (() => void)[] = [];
    if (name.kind === 'identity') stops.push(this.#caller.watchIdentity(name.spiffeId, dirty));
    if (name.kind === 'default' || name.kind === 'bundle') stops.push(this.#caller.watchEntries(dirty));
    if (name.kind === 'bundle') stops.push(identities.watchBundle(dirty));
    this.#tracked.set(text, { name, stops, entry: undefined, stopSvid: undefined, held: undefined });
  }

  #untrack(text: string): void {
    const tracked = this.#tracked.get(text);
    if (tracked === undefined) return;
    this.#tracked.delete(text);
    tracked.stopSvid?.();
    for (const stop of tracked.stops) stop();
  }

  #dirty(name: string): void {
    this.#subscription.markDirty(name);
    this.#pushSoon();
  }

  #pushSoon(): void {
    if (!this.#ended) this.#parts.queue.add(this.#push);
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
    const answers = names.map((name) => this.#find(this.#tracked.get(name)!));
    if (answers.some((answer) => answer instanceof Promise)) {
      this.#await(Promise.all(answers).then((found) => this.#send(names, found)));
    } else this.#send(names, answers as (EncodedSecret | Held)[]);
  }

  /** The secret behind a name; what must be watched for its next change is watched from now on. */
  #find(tracked: Tracked): EncodedSecret | Held | Promise<EncodedSecret | Held> {
    const { identities } = this.#parts;
    const entry = entryBehind(tracked.name, this.#caller);
    if (entry !== tracked.entry) {
      tracked.stopSvid?.();
      tracked.entry = entry;
      tracked.stopSvid =
        entry === undefined ? undefined : identities.watchSvid(entry, () => this.#dirty(tracked.name.name));
    }
    return secretFor(identities, this.#caller, tracked.name, this.#validation);
  }

  #send(names: readonly string[], answers: readonly (EncodedSecret | Held)[]): void {
    if (this.#ended) return;
    const now = this.#parts.clock.now();
    const found: EncodedSecret[] = [];
    answers.forEach((answer, i) => {
      if (isHeld(answer)) this.#hold(names[i]!, answer);
      else if (isCurrent(answer, now)) found.push(answer);
      else this.#dirty(names[i]!);
    });
    if (found.some(({ svid }) => svid !== undefined) && !this.#verified()) return;
    const push = this.#subscription.push(found);
    if (push === undefined) return;
    for (const { name, svid } of push.resources) {
      const tracked = this.#tracked.get(name);
      if (tracked !== undefined) tracked.held = undefined;
      if (svid !== undefined) this.#heldUntil = Math.max(this.#heldUntil, svid.notAfter);
    }
    this.#stream.send(writeDiscoveryResponse(push));
    this.#log.debug({ names: push.resources.map(({ name }) => name), version: push.versionInfo }, 'sent');
  }

  #hold(text: string, held: Held): void {
    const tracked = this.#tracked.get(text);
    if (tracked === undefined || tracked.held === held.detail) return;
    tracked.held = held.detail;
    this.#log.info({ name: text, reason: held.reason, detail: held.detail }, 'name held');
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
        this.#pushNow();
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
      this.#lastChance ??= clock.at(this.#heldUntil, () => {
        this.#lastChance = undefined;
        this.#await(this.#caller.reattest());
      });
      return;
    }
    const decision = newDecisionId();
    this.#log.warn({ err: failure, decision }, 'the caller is refused');
    this.#end(Status.UNAVAILABLE, `${failure.message} (decision ${decision})`);
  }

  #end(status: (typeof Status)[keyof typeof Status], details: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end(status, details);
  }
}
