/** Asks for whom to explain; the answer's address has it. */

import { useState } from 'preact/hooks';
import { Field } from '../parts/index.ts';
import { href, navigate } from '../shell/router.ts';

const KINDS = {
  pid: 'Process',
  container: 'Container',
  selector: 'Facts',
  decision: 'Decision',
} as const;

type Kind = keyof typeof KINDS;

export function WhyForm({ query }: { query: URLSearchParams }) {
  const given = (Object.keys(KINDS) as Kind[]).find((kind) => query.has(kind)) ?? 'pid';
  const [kind, setKind] = useState<Kind>(given);
  const [pid, setPid] = useState(query.get('pid') ?? '');
  const [container, setContainer] = useState(query.get('container') ?? '');
  const [facts, setFacts] = useState(query.getAll('selector').join('\n'));
  const [contained, setContained] = useState(query.get('contained') === 'true');
  const [decision, setDecision] = useState(query.get('decision') ?? '');
  const [spiffeId, setSpiffeId] = useState(query.get('spiffe_id') ?? '');
  const [error, setError] = useState<string>();

  const submit = () => {
    const lines = facts.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
    const fault = {
      pid: /^\d{1,10}$/.test(pid.trim()) ? undefined : 'give the PID of a running process, a number',
      container: container.trim() === '' ? 'give the name or the ID of a running container' : undefined,
      selector: lines.length === 0 ? 'give at least one fact, as type:value' : undefined,
      decision: decision.trim() === '' ? 'give the ID of a decision, as in the log or in the gRPC status' : undefined,
    }[kind];
    setError(fault);
    if (fault !== undefined) return;
    const subject = {
      pid: { pid: pid.trim() },
      container: { container: container.trim() },
      selector: { selector: lines, contained: contained ? 'true' : undefined },
      decision: { decision: decision.trim() },
    }[kind];
    navigate(href('/why', { ...subject, ...(kind !== 'decision' && { spiffe_id: spiffeId.trim() }) }));
  };

  const text = (label: string, hint: string, value: string, set: (text: string) => void, mode?: 'numeric') => (
    <Field label={label} hint={hint} error={error}>
      {(control) => (
        <input
          {...control}
          type="text"
          class="mono"
          inputMode={mode}
          value={value}
          spellcheck={false}
          autocomplete="off"
          maxLength={300}
          onInput={({ currentTarget }) => set(currentTarget.value)}
        />
      )}
    </Field>
  );
  return (
    <form
      class="why-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <fieldset class="chips">
        <legend class="unseen-label">By what</legend>
        {(Object.keys(KINDS) as Kind[]).map((one) => (
          <label key={one} class="chip">
            <input
              type="radio"
              name="why-kind"
              checked={kind === one}
              onChange={() => {
                setKind(one);
                setError(undefined);
              }}
            />
            {KINDS[one]}
          </label>
        ))}
      </fieldset>
      {kind === 'pid' && text('PID', 'As the host sees it: of Envoy, or of a program.', pid, setPid, 'numeric')}
      {kind === 'container' && text('Container', 'Its name or ID.', container, setContainer)}
      {kind === 'decision' && text('Decision ID', 'As in the log, or in the gRPC status.', decision, setDecision)}
      {kind === 'selector' && (
        <>
          <Field
            label="Facts"
            hint="type:value, one in each line, as if a caller had them: unix:uid:1000"
            error={error}
          >
            {(control) => (
              <textarea
                {...control}
                class="mono"
                rows={4}
                value={facts}
                spellcheck={false}
                onInput={({ currentTarget: { value } }) => setFacts(value)}
              />
            )}
          </Field>
          <label class="check">
            <input
              type="checkbox"
              checked={contained}
              onChange={({ currentTarget: { checked } }) => setContained(checked)}
            />
            The caller is in a container
          </label>
        </>
      )}
      {kind !== 'decision' && (
        <Field label="SPIFFE ID that it should have (optional)">
          {(control) => (
            <input
              {...control}
              type="text"
              class="mono"
              value={spiffeId}
              spellcheck={false}
              autocomplete="off"
              onInput={({ currentTarget: { value } }) => setSpiffeId(value)}
            />
          )}
        </Field>
      )}
      <div>
        <button type="submit" class="primary">
          Explain
        </button>
      </div>
    </form>
  );
}
