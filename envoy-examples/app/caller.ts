/**
 * The caller's SPIFFE ID from Envoy's x-forwarded-client-cert; undefined if the caller used clear text.
 *
 * The header can be trusted because only the app's Envoy can reach the app, and that Envoy removes the header that a client
 * sends. The format is `key=value;key="value"`, with one element for each proxy; see "HTTP header manipulation" in Envoy's
 * documentation.
 */
export function callerOf(header: string | string[] | undefined): string | undefined {
  return /(?:^|;)URI=([^;,]+)/i.exec(String(header ?? ''))?.[1];
}
