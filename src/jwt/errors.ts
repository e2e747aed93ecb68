/** Errors about JWT-SVIDs. */

/** The audiences of a request break a rule. */
export class AudienceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AudienceError';
  }
}

/** A token is not a valid JWT-SVID; the message has the reason, and no part of the token that is longer than a name. */
export class InvalidTokenError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InvalidTokenError';
  }
}
