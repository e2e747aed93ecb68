/** The words and tones of events. */

import { Mark, type Tone } from '../parts/index.ts';

const WORDS: Readonly<Record<string, readonly [word: string, tone: Tone]>> = {
  stream_opened: ['opened', 'off'],
  stream_closed: ['closed', 'off'],
  held: ['held', 'warn'],
  sent: ['sent', 'busy'],
  acked: ['acknowledged', 'good'],
  rejected: ['rejected', 'bad'],
  removed: ['removed', 'off'],
  issued: ['issued', 'good'],
  revoked: ['revoked', 'bad'],
  restored: ['restored', 'good'],
  entry_created: ['entry created', 'good'],
  entry_changed: ['entry changed', 'busy'],
  entry_deleted: ['entry deleted', 'warn'],
  entry_expired: ['entry expired', 'warn'],
  authority_moved: ['authority', 'busy'],
  relationship_moved: ['federation', 'busy'],
};

export function eventWord(type: string) {
  const [word, tone] = WORDS[type] ?? [type.replaceAll('_', ' '), 'off'];
  return <Mark tone={tone}>{word}</Mark>;
}
