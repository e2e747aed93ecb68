/** Answers for requests that get no document. */

import type { Answer } from './document-server.ts';

/** @see https://www.rfc-editor.org/rfc/rfc9457 */
export function problemAnswer(
  status: number,
  title: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail });
  return { status, headers: { ...headers, 'content-type': 'application/problem+json' }, body };
}
