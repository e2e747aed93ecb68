/** The views and their addresses. To add one: README.md. */

import type { ComponentType } from 'preact';
import type { IconName } from '../parts/index.ts';
import { AuditView } from '../views/audit.tsx';
import { EntriesView } from '../views/entries.tsx';
import { EntryView } from '../views/entry.tsx';
import { EditEntryView, NewEntryView } from '../views/entry-edit.tsx';
import { IssuancesView } from '../views/issuances.tsx';
import { OverviewView } from '../views/overview.tsx';
import { ProxiesView } from '../views/proxies.tsx';
import { ProxyView } from '../views/proxy.tsx';
import { SessionsView } from '../views/sessions.tsx';
import { TrustView } from '../views/trust.tsx';
import { WhyView } from '../views/why.tsx';
import type { Role } from './session.ts';
import type { ViewProps } from './view-props.ts';

export interface Route {
  /** Below /ui. */
  readonly path: string;
  /** Of the browser's tab. */
  readonly title: string;
  /** The line in the navigation; a view without one is reached from others. */
  readonly nav?: { readonly label: string; readonly icon: IconName };
  /** Whoever lacks the role is told so; `read` by default. */
  readonly needs?: Role;
  /** The content does not scroll as a whole: a DataTable in it takes what height there is. */
  readonly fill?: boolean;
  readonly view: ComponentType<ViewProps>;
}

export const ROUTES: readonly Route[] = [
  { path: '/', title: 'Overview', nav: { label: 'Overview', icon: 'overview' }, view: OverviewView },
  { path: '/proxies', title: 'Proxies', nav: { label: 'Proxies', icon: 'proxies' }, fill: true, view: ProxiesView },
  { path: '/proxies/:id', title: 'Proxy', view: ProxyView },
  { path: '/why', title: 'Why', nav: { label: 'Why', icon: 'why' }, view: WhyView },
  { path: '/entries', title: 'Entries', nav: { label: 'Entries', icon: 'entries' }, fill: true, view: EntriesView },
  // No entry has a plus in its id.
  { path: '/entries/+new', title: 'New entry', needs: 'entries', view: NewEntryView },
  { path: '/entries/:id', title: 'Entry', view: EntryView },
  { path: '/entries/:id/edit', title: 'Edit entry', needs: 'entries', view: EditEntryView },
  { path: '/trust', title: 'Trust', nav: { label: 'Trust', icon: 'trust' }, view: TrustView },
  { path: '/issuances', title: 'Issuances', nav: { label: 'Issuances', icon: 'issuances' }, view: IssuancesView },
  { path: '/audit', title: 'Audit', nav: { label: 'Audit', icon: 'audit' }, needs: 'admin', view: AuditView },
  { path: '/sessions', title: 'Sessions', nav: { label: 'Sessions', icon: 'sessions' }, view: SessionsView },
];
