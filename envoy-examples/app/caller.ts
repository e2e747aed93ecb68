/**
 * The caller's SPIFFE ID in Envoy's x-forwarded-client-cert; undefined when the caller came in clear.
 *
 * The header may be believed because only the Envoy in front can reach the app, and that Envoy takes away what a client
 * sends. Its shape, `key=value;key="value"`, one element for each proxy, is described in Envoy's documentation under
 * "HTTP header manipulation".
 */
export function callerOf(header: string | string[] | undefined): string | undefined {
  return /(?:^|;)URI=([^;,]+)/i.exec(String(header ?? ''))?.[1];
}
