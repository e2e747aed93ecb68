/** Columns of several tables. */

import { type Column, CopyText, HostileText } from '../parts/index.ts';
import { href } from '../shell/router.ts';

export const TRUST_DOMAIN: Column<{ readonly trust_domain: string }> = {
  key: 'domain',
  title: 'Trust domain',
  width: 12,
  cell: ({ trust_domain: domain }) => (
    <CopyText text={domain} what="trust domain">
      <HostileText text={domain} />
    </CopyText>
  ),
};

/** Leads to all issuances of the SPIFFE ID. */
export const ISSUED_ID: Column<{ readonly spiffe_id: string }> = {
  key: 'id',
  title: 'SPIFFE ID',
  width: 16,
  cell: ({ spiffe_id: id }) => (
    <a href={href('/issuances', { spiffe_id: id })}>
      <HostileText text={id} cut={200} />
    </a>
  ),
};

export const ENTRY: Column<{ readonly entry_id: string }> = {
  key: 'entry',
  title: 'Entry',
  width: 10,
  cell: ({ entry_id: id }) => (
    <a href={href(`/entries/${encodeURIComponent(id)}`)}>
      <HostileText text={id} cut={60} />
    </a>
  ),
};
