/** The published document. Nothing in it depends on the request. */

import { type Answers, problemAnswer } from '../../https/index.ts';
import { bundleDocument, type TrustBundle } from '../../spiffe/index.ts';
import type { PublishingCounts } from './state.ts';

const texts = new WeakMap<TrustBundle, string>();

/** The SPIFFE document of a bundle, as JSON in one line. */
export function documentText(bundle: TrustBundle): string {
  let text = texts.get(bundle);
  if (text === undefined) {
    text = `${JSON.stringify(bundleDocument(bundle))}\n`;
    texts.set(bundle, text);
  }
  return text;
}

/**
 * One document at `/`, for everybody.
 * @param bundle the own bundle as it is now
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 5
 */
export function documentAnswers(bundle: () => TrustBundle, { requests }: PublishingCounts): Answers {
  return (method, url) => {
    const isThere = url.split('?', 1)[0] === '/';
    const isRead = method === 'GET' || method === 'HEAD';
    requests.add(isThere && isRead ? 'ok' : 'refused');
    if (!isThere) return problemAnswer(404, 'Not Found', 'the bundle is at /');
    if (!isRead) return problemAnswer(405, 'Method Not Allowed', 'give GET', { allow: 'GET, HEAD' });
    const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache' };
    return { status: 200, headers, body: documentText(bundle()) };
  };
}
