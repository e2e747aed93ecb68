/** Events in one line each, newest first, with the way to what they are about. */

import type { LiveEvent } from '../data/wire.ts';
import { HostileText, Time } from '../parts/index.ts';
import { href } from '../shell/router.ts';
import { eventWord } from './event-words.tsx';

export function EventList({ events }: { events: readonly LiveEvent[] }) {
  if (events.length === 0)
    return <p class="muted">Nothing has happened since the server started: no proxy came, no entry changed.</p>;
  return (
    <ol class="events">
      {events.map((event, index) => (
        <li key={index}>
          <Time at={event.at} />
          {eventWord(event.type)}
          <span>
            <Subject event={event} />
          </span>
        </li>
      ))}
    </ol>
  );
}

function Subject({ event }: { event: LiveEvent }) {
  const { type } = event;
  const [id, spiffeId, serial, connection] = ['id', 'spiffe_id', 'serial', 'connection'].map((name) =>
    textOf(event, name),
  );
  if (type.startsWith('entry_'))
    return (
      <a href={href(`/entries/${encodeURIComponent(id!)}`)}>
        <HostileText text={spiffeId || id!} cut={120} />
      </a>
    );
  if (serial !== '')
    return (
      <a href={href('/issuances', { serial })}>
        <HostileText text={spiffeId || serial!} cut={120} />
      </a>
    );
  if (type === 'authority_moved')
    return (
      <a href={href('/trust')}>
        {textOf(event, 'role')} is now {textOf(event, 'state')}
      </a>
    );
  const names = Array.isArray(event.names) ? event.names.map(String) : [];
  const who = textOf(event, 'node_id') || `process ${textOf(event, 'pid')}`;
  const detail = textOf(event, 'detail');
  return (
    <>
      {connection === '' ? (
        <HostileText text={who} cut={80} />
      ) : (
        <a href={href(`/proxies/${encodeURIComponent(connection!)}`)}>
          <HostileText text={who} cut={80} />
        </a>
      )}{' '}
      {names.slice(0, 3).map((name) => (
        <span key={name} class="name">
          <HostileText text={name} cut={120} />
        </span>
      ))}
      {names.length > 3 && <span class="muted">and {names.length - 3} more </span>}
      {detail !== '' && type !== 'sent' && (
        <span class="muted">
          <HostileText text={detail} cut={160} />
        </span>
      )}
    </>
  );
}

function textOf(event: LiveEvent, member: string): string {
  const value = event[member];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
