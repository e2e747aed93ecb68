/**
 * What follows a NACK on one stream. An Envoy may blame the wrong secret, so that every certificate of the proxy is made
 * anew; nothing is sent again as it is, since the same bytes would be ACKed and not applied.
 */

import type { LedgerStream } from './ledger.ts';
import type { StreamContext } from './stream-context.ts';
import type { Outcome } from './subscription.ts';

/** An ACK or a NACK. */
export type Answered = Extract<Outcome, { answered: unknown }>;

/** The most rejected names of one answer that the log names. */
const LOGGED = 10;

export class Rejections {
  readonly #context: StreamContext;
  readonly #stream: LedgerStream;
  /** The client's last reason to reject something, until it accepts: of one reason the log tells once. */
  #reason: string | undefined;

  constructor(context: StreamContext, stream: LedgerStream) {
    this.#context = context;
    this.#stream = stream;
  }

  acknowledged({ answered }: Answered): void {
    const { parts, names } = this.#context;
    this.#reason = undefined;
    const hasCertificate = answered.some(({ name }) => names.get(name)?.certificate !== undefined);
    if (hasCertificate) parts.ledger.certificateTaken(this.#stream.peer);
  }

  /** @param message the client's text */
  rejected(outcome: Answered, message: string): void {
    const { parts, events } = this.#context;
    const { ledger, clock, identities } = parts;
    parts.counters.add('nacks_total');
    if (message === this.#reason) events.debug(() => ({ names: namesOf(outcome) }), 'rejected again');
    else events.log.warn({ ...shownNames(outcome), message }, 'the client rejects what it was sent');
    this.#reason = message;
    events.tell('rejected', () => namesOf(outcome), message);
    ledger.rejected(this.#stream.peer, clock, (entryId) => identities.reissue(entryId));
    if (outcome.answered.some(({ name }) => this.#isBundle(name))) {
      ledger.bundleRejected(this.#stream, () => this.#retryBundles());
    }
  }

  /**
   * A bundle is rejected because of a certificate, of the same listener or of one before it in the response, and then some
   * listener may never have been given the bundle. It is sent again in other bytes.
   */
  #retryBundles(): void {
    const { subscription, names } = this.#context;
    for (const { name, version, rejection } of subscription.asked) {
      if (rejection === undefined || rejection.version !== version || !this.#isBundle(name)) continue;
      const watched = names.get(name)!;
      watched.respelled = !watched.respelled;
      this.#context.lookAgain(name);
    }
  }

  #isBundle(text: string): boolean {
    const kind = this.#context.names.get(text)?.name.kind;
    return kind === 'bundle' || kind === 'all';
  }
}

export function namesOf({ answered }: Answered): string[] {
  return answered.map(({ name }) => name);
}

/** A few of the names, and how many more there are: a line is no larger for a stream that has thousands. */
function shownNames(outcome: Answered): { names: string[]; more?: number } {
  const names = namesOf(outcome);
  const more = names.length - LOGGED;
  return more > 0 ? { names: names.slice(0, LOGGED), more } : { names };
}
