/**
 * An owner has reached a limit. The wire answers RESOURCE_EXHAUSTED; the message names the owner, the limit and its
 * setting.
 */
export class LimitError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LimitError';
  }
}
