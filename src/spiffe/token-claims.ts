/** The claims of a JWT-SVID that its owner looks at; it comes from the server, so its signature is not verified. */

/** The last instant that a Date can have, in seconds since the epoch. */
const LAST = 8.64e12;

export interface TokenClaims {
  /** The `sub`, whatever it is. */
  readonly subject: unknown;
  /** Milliseconds since the epoch. */
  readonly endsAt: number;
}

/** @throws Error if it is no token, or has no end that is a date; the message has no part of the token */
export function tokenClaims(token: string): TokenClaims {
  const { sub, exp } = payloadOf(token);
  if (typeof exp !== 'number' || !(Math.abs(exp) <= LAST)) throw new Error('the JWT-SVID has no end that is a date');
  return { subject: sub, endsAt: exp * 1_000 };
}

function payloadOf(token: string): { readonly sub?: unknown; readonly exp?: unknown } {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.', 2)[1] ?? '', 'base64url').toString('utf8'));
    if (typeof payload === 'object' && payload !== null) return payload;
  } catch {
    // The message of JSON.parse quotes the text.
  }
  throw new Error('the JWT-SVID is not a token in the compact form');
}
