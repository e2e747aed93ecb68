/**
 * Handles the NACKs of one stream. Envoy may blame the wrong secret, so all certificates of the proxy are reissued. A
 * secret is never sent again unchanged, since Envoy would ACK the same bytes without applying them.
 */

import type { LedgerStream } from '../delivery/index.ts';
import type { StreamContext } from './stream-context.ts';
import type { RequestOutcome } from './subscription.ts';

/** An ACK or a NACK. */
export type Answered = Extract<RequestOutcome, { answered: unknown }>;

/** Maximum number of rejected names in a log line. */
const LOGGED = 10;

export class Rejections {
  readonly #context: StreamContext;
  readonly #stream: LedgerStream;
  /** The reason of the last NACK, until the next ACK: the same reason is logged only once. */
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

  /** @param message the client's error text */
  rejected(outcome: Answered, message: string): void {
    const { parts, events, kind } = this.#context;
    const { ledger, clock, identities } = parts;
    kind.counts.nacks += 1;
    if (message === this.#reason) events.debug(() => ({ names: namesOf(outcome) }), 'client rejected a response again');
    else {
      const issuers = this.#issuersOf(outcome);
      events.log.warn({ ...shownNames(outcome), ...issuers, message }, 'client rejected a response (NACK)');
    }
    this.#reason = message;
    events.tell('rejected', () => namesOf(outcome), message);
    ledger.rejected(this.#stream.peer, clock, (grant) => identities.reissue(grant));
    if (outcome.answered.some(({ name }) => this.#isBundle(name))) {
      ledger.bundleRejected(this.#stream, () => this.#retryBundles());
    }
  }

  /**
   * Sends rejected bundles again in different bytes. Envoy may have rejected a bundle because of a bad certificate, of
   * the same listener or earlier in the response; then some listeners never got the bundle.
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

  /** The authorities of the rejected certificates: with several Sidekeys the reader sees which one's they are. */
  #issuersOf({ answered }: Answered): { authorities?: string[] } {
    const ids = answered.flatMap(({ name }) => this.#context.names.get(name)?.certificate?.authorityId ?? []);
    return ids.length === 0 ? {} : { authorities: [...new Set(ids)] };
  }

  #isBundle(text: string): boolean {
    const kind = this.#context.names.get(text)?.name.kind;
    return kind === 'bundle' || kind === 'all';
  }
}

export function namesOf({ answered }: Answered): string[] {
  return answered.map(({ name }) => name);
}

/** The first few names and the number of the others, which limits the length of a log line. */
function shownNames(outcome: Answered): { names: string[]; more?: number } {
  const names = namesOf(outcome);
  const more = names.length - LOGGED;
  return more > 0 ? { names: names.slice(0, LOGGED), more } : { names };
}
