/**
 * For how many refresh hints a new authority is published before it signs, where other trust domains fetch the bundle.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 4.1: 3 to 5
 */
export const PUBLISHED_HINTS = 5;
