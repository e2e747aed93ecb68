/** The stored tokens of the admin API. */

import { type Actor, SERVER } from '../audit/index.ts';
import { type Clock, type Role, SidekeyError } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import { tokenEvent } from './audit-events.ts';
import { Named } from './named.ts';
import type { TokenStore } from './store/token-store.ts';
import { newTokenText, type Token, tokenHash } from './token.ts';
import type { WriteQueue } from './write-queue.ts';

const MAX_TOKENS = 1_000;

export interface TokensParts {
  readonly store: TokenStore;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

export interface TokenInput {
  readonly name: string;
  readonly role: Role;
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAt: number;
}

export class Tokens {
  readonly #tokens: Named<Token>;
  readonly #clock: Clock;
  /**
   * Tokens by hash. The time of a look-up depends on the hash alone, from which nobody can infer a text, so that it
   * reveals nothing about stored tokens.
   */
  readonly #byHash: Map<string, Token>;

  private constructor(tokens: Named<Token>, clock: Clock) {
    this.#tokens = tokens;
    this.#clock = clock;
    this.#byHash = new Map(tokens.list().map((token) => [token.hash, token]));
    // The first listener, so that the others find the present tokens.
    tokens.onChange((name) => this.#index(name));
  }

  /** @throws ERR_STORE */
  static async open(parts: TokensParts): Promise<Tokens> {
    const nameOf = (token: Token) => token.name;
    const named = await Named.open({ ...parts, nameOf, eventOf: tokenEvent, what: 'token', limit: MAX_TOKENS });
    return new Tokens(named, parts.clock);
  }

  /** The token with this text, which may have expired; undefined: none has it, or it was revoked. */
  find(text: string): Token | undefined {
    return this.#byHash.get(tokenHash(text));
  }

  /** Sorted by name, with those that have expired. */
  list(): Token[] {
    return this.#tokens.list();
  }

  /**
   * Makes a token. Durable when the promise resolves; the text is not kept.
   * @throws ERR_TOKEN_EXISTS; ERR_BAD_INPUT if there are too many; ERR_STORE
   */
  async create({ name, role, expiresAt }: TokenInput, by: Actor = SERVER): Promise<{ token: Token; text: string }> {
    const text = newTokenText();
    const { value: token } = await this.#tokens.put(name, by, (before) => {
      if (before !== undefined) {
        throw new SidekeyError(
          'ERR_TOKEN_EXISTS',
          `there is a token ${name} already: give another name, or revoke that one with sidekey token revoke ${name}`,
        );
      }
      return { name, role, hash: tokenHash(text), createdAt: this.#clock.now(), expiresAt };
    });
    return { token, text };
  }

  /** Durable when the promise resolves; from then on the token is unknown. @throws ERR_NOT_FOUND, ERR_STORE */
  revoke(name: string, by: Actor = SERVER): Promise<void> {
    return this.#tokens.delete(name, by);
  }

  /** Calls the listener with the name of each token that is made or revoked. @returns a function that removes it */
  onChange(listener: (name: string) => void): () => void {
    return this.#tokens.onChange(listener);
  }

  #index(name: string): void {
    for (const [hash, token] of this.#byHash) if (token.name === name) this.#byHash.delete(hash);
    const token = this.#tokens.get(name);
    if (token !== undefined) this.#byHash.set(token.hash, token);
  }
}
