/** Whom the workloads trust: the own roots and JWT keys, and the bundles of other trust domains. */

import { useState } from 'preact/hooks';
import type { Authorities, ForeignBundle, Revocations } from '../../gen/admin-api.ts';
import { download } from '../data/download.ts';
import {
  Answered,
  type Column,
  Command,
  CopyText,
  EmptyState,
  ErrorNote,
  ExpiryBar,
  HostileText,
  Mark,
  Panel,
  SimpleTable,
  Time,
  Title,
} from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { href } from '../shell/router.ts';
import { session } from '../shell/session.ts';
import { useAnswer } from '../shell/use-answer.ts';
import { AUTHORITY_TONES, AuthorityTimeline } from './authority-timeline.tsx';
import { TRUST_DOMAIN } from './columns.tsx';
import { Relationships } from './relationships.tsx';

const PEM = 'application/x-pem-file';
const JSON_TYPE = 'application/json';

export function TrustView() {
  const authorities = useAnswer('authorities', () => api.listAuthorities(), { on: ['authorities'] });
  const foreign = useAnswer('foreign bundles', () => api.listForeignBundles(), { on: ['bundles'] });
  const revocations = useAnswer('revocation lists', () => api.listRevocations({ query: { limit: 1 } }), {
    on: ['revocations'],
  });
  const [failure, setFailure] = useState<unknown>();
  const state = session.value;
  const trustDomain = state.kind === 'in' ? state.session.trust_domain : '';
  const get = (path: string, accept: string, name: string) => {
    setFailure(undefined);
    download(path, accept, name).catch(setFailure);
  };
  const fileName = (domain: string, end: string) => `${domain.replace(/[^a-z0-9._-]/gi, '_').slice(0, 100)}.${end}`;
  const foreignColumns: readonly Column<ForeignBundle>[] = [
    ...FOREIGN_COLUMNS,
    {
      key: 'get',
      title: '',
      width: 12,
      cell: ({ trust_domain: domain }) => {
        const path = `/v1/bundles/${encodeURIComponent(domain)}`;
        return (
          <span class="row-actions">
            <button type="button" class="small" onClick={() => get(path, PEM, fileName(domain, 'pem'))}>
              PEM<span class="unseen-label"> of {domain}</span>
            </button>
            <button type="button" class="small" onClick={() => get(path, JSON_TYPE, fileName(domain, 'json'))}>
              SPIFFE JSON<span class="unseen-label"> of {domain}</span>
            </button>
          </span>
        );
      },
    },
  ];
  return (
    <>
      <Title>Trust</Title>
      {failure !== undefined && <ErrorNote error={failure} />}
      <div class="stack">
        <Panel
          title={
            <>
              Own trust domain <HostileText text={trustDomain} />
            </>
          }
          actions={
            <>
              <button type="button" onClick={() => get('/v1/bundle', PEM, fileName(trustDomain, 'pem'))}>
                Roots in PEM
              </button>
              <button type="button" onClick={() => get('/v1/bundle', JSON_TYPE, fileName(trustDomain, 'json'))}>
                Bundle in SPIFFE JSON
              </button>
              <button type="button" onClick={() => get('/v1/jwks', JSON_TYPE, fileName(trustDomain, 'jwks.json'))}>
                JWT keys as JWKS
              </button>
            </>
          }
        >
          <Answered answer={authorities}>{(answer) => <Own authorities={answer} />}</Answered>
        </Panel>
        <Panel title="Other trust domains">
          <Answered answer={foreign}>
            {({ bundles }) =>
              bundles.length === 0 ? (
                <NoForeign />
              ) : (
                <SimpleTable
                  label="Bundles of other trust domains"
                  rows={bundles}
                  rowKey={({ trust_domain: domain }) => domain}
                  columns={foreignColumns}
                />
              )
            }
          </Answered>
        </Panel>
        <Relationships />
        <Panel
          title="Revocation lists"
          actions={<a href={href('/issuances', { revoked: 'true' })}>Revoked certificates</a>}
        >
          <Answered answer={revocations}>{(answer) => <Lists revocations={answer} />}</Answered>
        </Panel>
      </div>
    </>
  );
}

type Authority = Authorities['authorities'][number];

const IN_BUNDLE: ReadonlySet<Authority['state']> = new Set(['published', 'active', 'retired', 'carried', 'tainted']);

function Own({ authorities: { authorities, upstream } }: { authorities: Authorities }) {
  const roots = authorities.filter(({ role, state }) => role === 'root' && IN_BUNDLE.has(state));
  const keys = authorities.filter(({ role, state }) => role === 'jwt' && IN_BUNDLE.has(state));
  return (
    <>
      <AuthorityTimeline authorities={authorities} upstream={upstream} />
      <h3 class="spaced">Roots in the bundle</h3>
      <SimpleTable label="Roots in the bundle" rows={roots} rowKey={({ id }) => id} columns={ROOT_COLUMNS} />
      <h3 class="spaced">JWT keys in the bundle</h3>
      {keys.length === 0 ? (
        <p class="muted">None yet: the first JWT-SVID makes one.</p>
      ) : (
        <SimpleTable label="JWT keys in the bundle" rows={keys} rowKey={({ id }) => id} columns={KEY_COLUMNS} />
      )}
    </>
  );
}

const STATE: Column<Authority> = {
  key: 'state',
  title: 'State',
  width: 8,
  cell: ({ state, since }) => (
    <>
      <Mark tone={AUTHORITY_TONES[state]}>{state}</Mark>
      <div class="muted">
        since <Time at={since} />
      </div>
    </>
  ),
};
const ID: Column<Authority> = {
  key: 'id',
  title: 'ID',
  width: 14,
  cell: ({ id }) => <CopyText text={id} what="ID of the authority" />,
};
const TYPE: Column<Authority> = { key: 'type', title: 'Key', width: 6, cell: ({ key_type: type }) => type ?? 'other' };
const ENDS: Column<Authority> = {
  key: 'ends',
  title: 'Ends',
  width: 11,
  cell: ({ not_before: from, not_after: to }) => <ExpiryBar from={from} to={to} />,
};

const KEY_COLUMNS: readonly Column<Authority>[] = [STATE, ID, TYPE, ENDS];

const ROOT_COLUMNS: readonly Column<Authority>[] = [
  STATE,
  {
    key: 'subject',
    title: 'Subject',
    width: 10,
    cell: ({ subject, state, is_upstreams: isUpstreams }) => (
      <>
        <HostileText text={subject} />
        <div class="muted">
          {state === 'carried' ? 'of another server of this trust domain' : isUpstreams ? 'of the upstream' : 'own'}
        </div>
      </>
    ),
  },
  ID,
  TYPE,
  ENDS,
];

const FOREIGN_COLUMNS: readonly Column<ForeignBundle>[] = [
  TRUST_DOMAIN,
  {
    key: 'source',
    title: 'Source',
    width: 8,
    cell: ({ source }) => (source === 'polled' ? 'fetched' : 'set by hand'),
  },
  { key: 'age', title: 'Set', width: 7, cell: ({ updated_at: at }) => <Time at={at} /> },
  {
    key: 'sequence',
    title: 'Sequence',
    width: 6,
    numeric: true,
    cell: ({ spiffe_sequence: sequence }) => sequence,
  },
  { key: 'roots', title: 'Roots', width: 5, numeric: true, cell: ({ authorities }) => authorities },
  {
    key: 'ends',
    title: 'Last root ends',
    width: 10,
    cell: ({ updated_at: from, expires_at: to }) => <ExpiryBar from={from} to={to} />,
  },
];

function NoForeign() {
  return (
    <EmptyState title="No bundle of another trust domain is set">
      <p>
        Workloads trust the own trust domain alone. To let entries federate with another one, take its bundle, from a
        source that you trust, to the server; or let the server fetch it, by a federation relationship.
      </p>
      <Command text="sidekey bundle set other.example --file other.example.json" />
    </EmptyState>
  );
}

function Lists({ revocations: { lists, total, why_not: whyNot, proxy_counts: counts } }: { revocations: Revocations }) {
  return (
    <>
      {whyNot !== null && (
        <p class="note warn">
          No certificate can be revoked now: <HostileText text={whyNot} />
        </p>
      )}
      {lists.length === 0 ? (
        <p class="muted">No certificate that has not ended is revoked, so the bundle has no list.</p>
      ) : (
        <>
          <p>
            {total === 1 ? '1 certificate is' : `${total.toLocaleString('en')} certificates are`} revoked. Of the
            connected proxies {counts.refusing} refuse them, {counts.waiting} have not acknowledged the lists yet,{' '}
            {counts.informed} read them over the Workload API, and {counts.unreachable} have no bundle with them.
          </p>
          <SimpleTable
            label="Revocation lists"
            rows={lists}
            rowKey={({ authority_id: id }) => id}
            columns={LIST_COLUMNS}
          />
        </>
      )}
    </>
  );
}

const LIST_COLUMNS: readonly Column<Revocations['lists'][number]>[] = [
  { key: 'role', title: 'Of', width: 7, cell: ({ role }) => role },
  {
    key: 'id',
    title: 'Authority',
    width: 14,
    cell: ({ authority_id: id }) => <CopyText text={id} what="ID of the authority" />,
  },
  { key: 'entries', title: 'Certificates', width: 6, numeric: true, cell: ({ entries }) => entries },
  { key: 'made', title: 'Made', width: 8, cell: ({ this_update: at }) => <Time at={at} /> },
  { key: 'next', title: 'Must be replaced', width: 10, cell: ({ next_update: at }) => <Time at={at} /> },
];
