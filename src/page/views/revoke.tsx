/** Revokes certificates, and says what each proxy does with that. */

import { useState } from 'preact/hooks';
import type { RevocationProxy, Revoked } from '../../gen/admin-api.ts';
import { type Column, Dialog, ErrorNote, HostileText, Mark, SimpleTable, type Tone } from '../parts/index.ts';
import { api } from '../shell/api.ts';
import { ReasonField, type RevocationReason } from './revocation-reason.tsx';

export type RevokeTarget = { readonly serial: string } | { readonly spiffe_id: string } | { readonly entry_id: string };

/** How long the answer may wait for the proxies, in seconds. */
const WAIT = 5;

export function Revoke({ target, onClose }: { target: RevokeTarget; onClose: () => void }) {
  const [reason, setReason] = useState<RevocationReason>('unspecified');
  const [isNow, setNow] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const [outcome, setOutcome] = useState<Revoked>();
  const revoke = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      setOutcome(await api.revokeCertificates({ body: { ...target, reason, now: isNow, wait: WAIT } }));
    } catch (thrown) {
      setFailure(thrown);
    }
    setBusy(false);
  };
  if (outcome !== undefined)
    return (
      <Dialog title="Revoked" onClose={onClose} wide>
        <Outcome outcome={outcome} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Close
          </button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title="Revoke?" onClose={onClose}>
      <div class="form-stack">
        <p>
          <What target={target} /> Proxies refuse it in new connections, once they have the lists. Open connections
          stay.
        </p>
        <ReasonField reason={reason} onChange={setReason} />
        <label class="check">
          <input type="checkbox" checked={isNow} onChange={({ currentTarget: { checked } }) => setNow(checked)} />
          At once, before its holders have new certificates
        </label>
        {failure !== undefined && <ErrorNote error={failure} />}
      </div>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={() => void revoke()} disabled={busy}>
          {busy ? 'Revoking…' : 'Revoke'}
        </button>
      </div>
    </Dialog>
  );
}

function What({ target }: { target: RevokeTarget }) {
  if ('serial' in target)
    return (
      <>
        The certificate <span class="mono">{target.serial}</span>.
      </>
    );
  return (
    <>
      All certificates that have not ended of{' '}
      {'spiffe_id' in target ? (
        <HostileText text={target.spiffe_id} />
      ) : (
        <>
          the entry <HostileText text={target.entry_id} />
        </>
      )}
      .
    </>
  );
}

function Outcome({ outcome: { revoked, already, proxies, proxy_counts: counts } }: { outcome: Revoked }) {
  return (
    <>
      <p role="status">
        {revoked.length === 1 ? '1 certificate is' : `${revoked.length} certificates are`} revoked
        {already > 0 && `, and ${already} were before`}. Of the connected proxies {counts.refusing} refuse
        {revoked.length + already === 1 ? ' it' : ' them'}.
      </p>
      {proxies.length > 0 && (
        <SimpleTable
          label="Proxies"
          rows={proxies}
          rowKey={({ pid, name }) => `${pid} ${name}`}
          columns={PROXY_COLUMNS}
        />
      )}
    </>
  );
}

const STATES: Readonly<Record<RevocationProxy['state'], readonly [tone: Tone, means: string]>> = {
  refusing: ['good', 'has the lists'],
  informed: ['warn', 'read the lists over the Workload API, whose clients may ignore them'],
  waiting: ['busy', 'was sent the lists and has not acknowledged them'],
  unreachable: ['bad', 'has no bundle with the lists'],
};

const PROXY_COLUMNS: readonly Column<RevocationProxy>[] = [
  {
    key: 'who',
    title: 'Proxy',
    width: 12,
    cell: ({ pid, node_id: node }) => (node === null ? <>process {pid}</> : <HostileText text={node} cut={100} />),
  },
  { key: 'name', title: 'Name', width: 10, cell: ({ name }) => <HostileText text={name} cut={100} /> },
  {
    key: 'state',
    title: 'State',
    width: 14,
    cell: ({ state, rejection }) => (
      <>
        <Mark tone={STATES[state][0]}>{state}</Mark> <span class="muted">{STATES[state][1]}</span>
        {rejection !== null && (
          <div>
            <HostileText text={rejection} lines />
          </div>
        )}
      </>
    ),
  },
];
