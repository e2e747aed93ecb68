/** Sends the secrets that one stream's client requests and does not have yet. */

import { SidekeyError } from '../base/index.ts';
import { AttestationRetry, refuseCaller } from '../delivery/index.ts';
import type { Held } from '../identity/index.ts';
import { LimitError } from '../limits/index.ts';
import { Status, StatusError } from '../wire/index.ts';
import { type HeldName, type HeldNames, missingOf } from './held-names.ts';
import { type Found, type FoundLater, SecretLookup } from './lookup.ts';
import { isHeld } from './names.ts';
import { type EncodedSecret, isCurrent } from './secrets.ts';
import type { StreamContext } from './stream-context.ts';
import type { Push } from './subscription.ts';

export class Pusher {
  readonly lookup: SecretLookup;
  readonly #context: StreamContext;
  readonly #held: HeldNames;
  /** The number of pending promises. Changes meanwhile are looked up afterwards. */
  #awaited = 0;
  /** The latest expiry of the SVIDs that were sent, in milliseconds since the epoch. */
  #heldUntil = 0;
  #retry: AttestationRetry | undefined;
  /** Names whose lookup failed with the attestation. */
  readonly #unanswered = new Set<string>();

  constructor(context: StreamContext, held: HeldNames) {
    this.#context = context;
    this.#held = held;
    this.lookup = new SecretLookup(context, held);
  }

  /**
   * Sends one response if there is something to send; returns true if so. An error ends this stream and no other one.
   */
  push(): boolean {
    try {
      return this.#push();
    } catch (error) {
      if (error instanceof LimitError) {
        this.#context.end(Status.RESOURCE_EXHAUSTED, error.message);
        return false;
      }
      if (error instanceof StatusError) {
        this.#context.end(error.status, error.message, error.details);
        return false;
      }
      this.#context.events.log.error({ err: error }, 'stream failed: internal error');
      this.#context.end(Status.INTERNAL, 'Sidekey failed; its log has the reason');
      return false;
    }
  }

  close(): void {
    this.#retry?.cancel();
  }

  #push(): boolean {
    const { ended, caller, stream, subscription } = this.#context;
    if (ended || this.#awaited > 0) return false;
    if (!caller.attested) {
      this.#await(stream.untilEnd(caller.attestAfter(0)));
      return false;
    }
    this.#context.followWildcard();
    if (!subscription.canPush) return false;
    const names = subscription.takeDirty();
    const found = this.lookup.findNow(names);
    if (found !== undefined) return this.#send(found);
    this.#await(this.lookup.findLater(names).then((later) => this.#sendLater(later)));
    return false;
  }

  /** Waits for the work, then pushes again. */
  #await(work: Promise<void>): void {
    this.#awaited += 1;
    work
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#awaited -= 1;
        this.push();
      });
  }

  #sendLater(found: FoundLater): void {
    for (const name of found.unanswered) this.#unanswered.add(name);
    this.#send(found);
    if (found.unanswered.length > 0) throw found.failure;
  }

  #send({ names, answers }: Found): boolean {
    const { parts, kind, stream, subscription, events } = this.#context;
    if (this.#context.ended) return false;
    const now = parts.clock.now();
    const found: EncodedSecret[] = [];
    const held: HeldName[] = [];
    const withdrawn = new Set<string>();
    let withKey = false;
    for (const [i, answer] of answers.entries()) {
      const name = names[i]!;
      if (isHeld(answer)) {
        held.push({ name, held: answer });
        if (!this.#mustWithdraw(name, answer)) continue;
        withdrawn.add(name);
        const nothing = this.lookup.withdrawn(name);
        if (nothing !== undefined) found.push(nothing);
        else this.#await(parts.nobody!.prepare().then(() => this.#context.lookAgain(name)));
      } else if (isCurrent(answer, now)) {
        this.#held.end(name);
        withKey ||= answer.certificate !== undefined;
        found.push(answer);
      } else this.#context.lookAgain(name);
    }
    if (held.length > 0) this.#held.hold(held, now);
    if (this.#context.ended) return false;
    if (withKey && !this.#verified()) return false;
    const push = subscription.push(found, missingOf(held.filter(({ name }) => !withdrawn.has(name))), now);
    if (push === undefined) return false;
    if (withKey) this.#noteCertificates(push.resources);
    kind.counts.pushes += 1;
    stream.send(kind.variant.write(push));
    if (events.isHeard) this.#tellSent(push);
    return true;
  }

  /** Whether the client was sent a bundle under this name that it may no longer have. */
  #mustWithdraw(text: string, { reason }: Held): boolean {
    const { names, subscription, parts } = this.#context;
    if (parts.nobody === undefined || (reason !== 'no-bundle' && reason !== 'not-federated')) return false;
    const { name } = names.follow(text);
    const isForeign = name.kind === 'bundle' && name.trustDomain !== parts.trustDomain;
    return isForeign && subscription.get(text)?.version !== undefined;
  }

  /** Verifies the process one last time before a key is sent. */
  #verified(): boolean {
    try {
      this.#context.stream.peer.verify();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #noteCertificates(sent: readonly EncodedSecret[]): void {
    const { names, caller } = this.#context;
    for (const { name, certificate } of sent) {
      const watched = names.get(name);
      if (watched === undefined || certificate === undefined) continue;
      watched.certificate = certificate;
      caller.given(certificate.grant, certificate.notAfter);
      this.#heldUntil = Math.max(this.#heldUntil, certificate.notAfter);
    }
  }

  #tellSent({ resources, removed, versionInfo }: Push<EncodedSecret>): void {
    const { events } = this.#context;
    const names = resources.map(({ name }) => name);
    events.debug(() => ({ names, removed, version: versionInfo }), 'sent');
    if (names.length > 0) events.tell('sent', () => names, versionInfo);
    if (removed.length > 0) events.tell('removed', () => removed);
  }

  /**
   * A failed attestation ends the stream, unless the client has a valid SVID: then it is retried until that SVID
   * expires.
   */
  #fail(error: unknown): void {
    const { parts, asker, events } = this.#context;
    if (this.#context.ended) return;
    const failure = SidekeyError.from(error);
    if (failure.code === 'ERR_ATTESTATION_FAILED') {
      if (parts.clock.now() < this.#heldUntil) {
        this.#attestationRetry.wait(this.#heldUntil);
        return;
      }
      parts.counters.add('streams_unattested_total');
    }
    const { status, message, details } = refuseCaller(failure, asker, parts.decisions, events.log);
    this.#context.end(status, message, details);
  }

  get #attestationRetry(): AttestationRetry {
    this.#retry ??= new AttestationRetry(this.#context.caller, this.#context.parts.clock, () => this.#lookAgain());
    return this.#retry;
  }

  #lookAgain(): void {
    for (const name of this.#unanswered) this.#context.lookAgain(name);
    this.#unanswered.clear();
    this.#context.pushSoon();
  }
}
