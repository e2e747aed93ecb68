/** The tokens of an agent's workloads: the server signs them, and their contents are checked here. */

import { type Clock, SidekeyError } from '../base/index.ts';
import { InvalidTokenError, type JwtSvid, type TokenRequest, type TokenSource, validateJwtSvid } from '../jwt/index.ts';
import type { TrustBundle } from '../spiffe/index.ts';
import type { Uplink } from '../uplink/index.ts';

export interface RemoteTokensParts {
  readonly uplink: Pick<Uplink, 'newJwtSvid'>;
  /** The own trust domain's bundle. */
  readonly bundle: () => TrustBundle;
  readonly clock: Clock;
}

export class RemoteTokens implements TokenSource {
  readonly #parts: RemoteTokensParts;

  constructor(parts: RemoteTokensParts) {
    this.#parts = parts;
  }

  async issue(request: TokenRequest): Promise<JwtSvid> {
    const { uplink, bundle, clock } = this.#parts;
    const { entryId, spiffeId, audiences } = request;
    const { token, issuedAt, expiresAt } = await uplink.newJwtSvid(entryId, audiences);
    try {
      const own = bundle();
      const bundles = { get: (trustDomain: string) => (trustDomain === own.trustDomain ? own : undefined) };
      const validated = validateJwtSvid(token, audiences[0] ?? '', bundles, clock.now());
      if (validated.spiffeId !== spiffeId) throw new InvalidTokenError(`it is for ${validated.spiffeId}`);
      const granted = new Set(validated.claims.aud as readonly string[]);
      if (audiences.some((one) => !granted.has(one))) throw new InvalidTokenError('it is not for all of the audiences');
      // The token ends by its own claim, whatever the answer says beside it.
      const ends = Math.min(expiresAt, (validated.claims.exp as number) * 1000);
      return { token, spiffeId, issuedAt, expiresAt: ends, keyId: validated.keyId };
    } catch (cause) {
      const problem = cause instanceof InvalidTokenError ? cause.message : 'it cannot be read';
      const message = `the JWT-SVID that the server made for ${spiffeId} is refused: ${problem}`;
      throw new SidekeyError('ERR_CA', message, { cause });
    }
  }

  isTrusted(keyId: string): boolean {
    return this.#parts.bundle().jwtAuthorities.some((key) => key.keyId === keyId);
  }

  async close(): Promise<void> {}
}
