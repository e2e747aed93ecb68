/** The held names of one stream: the reason, its record, and the limit on unknown names. */

import { notedOf, recordText, refusalDetails } from '../delivery/index.ts';
import { dependsOnFacts, type Held, isStillGiven } from '../identity/index.ts';
import { Status } from '../wire/index.ts';
import { spiffeIdBehind } from './names.ts';
import type { StreamContext } from './stream-context.ts';
import type { Missing } from './subscription.ts';

export interface HeldName {
  readonly name: string;
  readonly held: Held;
}

/** Maximum number of held names of one push that are logged. */
const LOGGED = 10;
/** Maximum number of unknown names per connection: with secrets on demand, TLS clients choose the names. */
const MAX_UNKNOWN = 1_000;

export class HeldNames {
  readonly #context: StreamContext;
  #unknown = 0;

  constructor(context: StreamContext) {
    this.#context = context;
  }

  /** The number of held names with the reason `unknown-name`. */
  get unknown(): number {
    return this.#unknown;
  }

  /** Records why names are held, if that is new. Logs the first few, and the number of the rest. */
  hold(names: readonly HeldName[], now: number): void {
    const news = names.filter(({ name, held }) => this.#note(name, held, now));
    if (news.length === 0) return;
    const { events, names: watchedNames } = this.#context;
    const { log } = events;
    for (const { name, held } of news.slice(0, LOGGED)) {
      const decision = watchedNames.get(name)?.decision?.id;
      log.info({ name, reason: held.reason, detail: held.detail, decision }, 'name held');
    }
    if (news.length > LOGGED) log.info({ more: news.length - LOGGED }, 'more names held');
    for (const { name, held } of news) events.tell('held', () => [name], held.reason);
    if (this.#unknown > 0) this.#limitUnknown();
  }

  /** Ends the hold of a name: it has a secret again, was dropped, or is held for another reason. */
  end(name: string): void {
    const watched = this.#context.names.get(name);
    if (watched?.held === undefined) return;
    if (watched.held.reason === 'unknown-name') this.#unknown -= 1;
    if (dependsOnFacts(watched.held)) this.#context.caller.waits(-1);
    this.#count(watched.held, watched.hadSecret, -1);
    watched.held = undefined;
    watched.stopReason?.();
    watched.stopReason = undefined;
    if (watched.decision !== undefined) this.#context.parts.decisions.end(watched.decision);
  }

  /** Returns false if the name is already held for the same reason. */
  #note(name: string, held: Held, now: number): boolean {
    const { parts, names, caller, stream, subscription } = this.#context;
    const watched = names.get(name);
    if (watched === undefined || watched.held?.detail === held.detail) return false;
    const hadBefore = watched.held !== undefined && watched.hadSecret;
    this.end(name);
    watched.held = held;
    watched.hadSecret = hadBefore || subscription.get(name)?.version !== undefined;
    this.#count(held, watched.hadSecret, 1);
    watched.heldSince = now;
    const spiffeId = spiffeIdBehind(parts.identities, watched.name);
    const noted = () => notedOf('held', this.#context.asker, { ...held, name, spiffeId });
    watched.decision = parts.decisions.hold(stream.peer.owner, held.reason, noted, watched.decision);
    if (held.reason === 'unknown-name') this.#unknown += 1;
    if (dependsOnFacts(held)) {
      caller.waits(1);
      const again = () => this.#context.lookAgain(name);
      if (spiffeId !== undefined) watched.stopReason = parts.identities.watchReason(caller, spiffeId, again);
    }
    parts.counts.holds.add(held.reason);
    return true;
  }

  #count({ reason }: Held, hadSecret: boolean, by: 1 | -1): void {
    const { heldWith, heldWithout } = this.#context.parts.counts;
    (hadSecret ? heldWith : heldWithout).add(reason, by);
  }

  #limitUnknown(): void {
    const { parts, stream, events, asker } = this.#context;
    if (parts.ledger.unknownNamesOf(stream.peer) <= MAX_UNKNOWN) return;
    parts.counters.add('names_refused_total');
    parts.counters.limits.add('unknownNames');
    events.log.warn({ limit: MAX_UNKNOWN }, 'too many unknown names on a connection');
    const detail = `this connection asks for more than ${MAX_UNKNOWN} unknown names (neither a SPIFFE ID nor an alias)`;
    const noted = () => notedOf('refused', asker, { reason: 'unknown-names', detail });
    const decision = parts.decisions.note(stream.peer.owner, noted);
    const details = refusalDetails('UNKNOWN_NAMES', decision);
    this.#context.end(Status.RESOURCE_EXHAUSTED, `${detail}${recordText(decision)}`, details);
  }
}

/** The held names without a usable secret. A name is not among them if the client may keep using its last secret. */
export function missingOf(names: readonly HeldName[]): Missing[] {
  const missing: Missing[] = [];
  for (const { name, held } of names) {
    if (!isStillGiven(held)) missing.push({ name, mayCome: held.reason !== 'unknown-name' });
  }
  return missing;
}
