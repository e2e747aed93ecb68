/** What to do first, where nothing uses the server yet. */

import { Command, EmptyState } from '../parts/index.ts';
import { can, session } from '../shell/session.ts';

/** The name of the trust domain, for commands. */
function trustDomain(): string {
  const state = session.value;
  return state.kind === 'in' ? state.session.trust_domain : 'example.org';
}

/** Where no proxy is connected. */
export function FirstProxy() {
  return (
    <EmptyState title="No proxy is connected">
      <p>An Envoy appears here when it asks for its first secret. This writes a complete configuration for one:</p>
      <Command
        text={`sidekey envoy bootstrap --spiffe-id spiffe://${trustDomain()}/web --listen 127.0.0.1:8443 --to 127.0.0.1:8080 > envoy.yaml`}
      />
      <p>This shows what the process of a shell would get:</p>
      <Command text="sidekey fetch" />
    </EmptyState>
  );
}

/** Where there is no entry. */
export function FirstEntry() {
  return (
    <EmptyState title="No process has an identity yet">
      <p>An entry gives one to the processes that its selectors describe. This gives one to those of a user:</p>
      <Command text={`sidekey entry create --spiffe-id spiffe://${trustDomain()}/web --selector unix:uid:1000`} />
      {!can('entries') && <p class="muted">Your session may not make entries; the command on the host may.</p>}
    </EmptyState>
  );
}
