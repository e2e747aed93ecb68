/** Events in one line each, newest first, with the way to what they are about. */

import type { PageEvent } from '../../gen/admin-api.ts';
import { HostileText, Time } from '../parts/index.ts';
import { href } from '../shell/router.ts';
import { eventWord } from './event-words.tsx';

export function EventList({ events }: { events: readonly PageEvent[] }) {
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

function Subject({ event }: { event: PageEvent }) {
  const { type, id, spiffe_id: spiffeId, connection, node_id: node, pid, names, more_names: more, detail } = event;
  if (type.startsWith('entry_'))
    return (
      <a href={href(`/entries/${encodeURIComponent(id ?? '')}`)}>
        <HostileText text={spiffeId ?? id ?? ''} cut={120} />
      </a>
    );
  if (type === 'revoked' || type === 'restored')
    return (
      <a href={href('/issuances', { serial: id ?? undefined })}>
        <HostileText text={spiffeId ?? id ?? ''} cut={120} />
      </a>
    );
  if (type === 'authority_moved') return <a href={href('/trust')}>{detail}</a>;
  if (type === 'relationship_moved')
    return (
      <>
        <a href={href('/trust')}>
          <HostileText text={id ?? ''} cut={120} />
        </a>{' '}
        <span class="muted">
          <HostileText text={detail ?? ''} cut={160} />
        </span>
      </>
    );
  const who = <HostileText text={node ?? `process ${pid}`} cut={80} />;
  return (
    <>
      {connection === null ? who : <a href={href(`/proxies/${encodeURIComponent(connection)}`)}>{who}</a>}{' '}
      {names.map((name) => (
        <span key={name} class="name">
          <HostileText text={name} cut={120} />
        </span>
      ))}
      {more > 0 && <span class="muted"> and {more} more</span>}
      {detail !== null && (
        <span class="muted">
          {' '}
          <HostileText text={detail} cut={160} />
        </span>
      )}
    </>
  );
}
