/** Why a caller has its identities, and lacks others: a process, a container, assumed facts or a recorded decision. */

import { EmptyState, Panel, Title } from '../parts/index.ts';
import type { ViewProps } from '../shell/view-props.ts';
import { DecisionList } from './decision-list.tsx';
import { WhyAnswer } from './why-answer.tsx';
import { WhyDecision } from './why-decision.tsx';
import { WhyForm } from './why-form.tsx';

export function WhyView({ query }: ViewProps) {
  const decision = query.get('decision');
  const isAsked = ['pid', 'container', 'selector'].some((name) => query.has(name));
  const about = query.get('decisions') ?? undefined;
  return (
    <>
      <Title>Why</Title>
      <div class="stack">
        <Panel title="Whom to explain">
          <WhyForm key={`${query}`} query={query} />
        </Panel>
        {decision !== null ? (
          <WhyDecision key={decision} id={decision} />
        ) : isAsked ? (
          <WhyAnswer query={query} />
        ) : (
          <>
            {about === undefined && (
              <EmptyState title="Give a process, a container or facts">
                <p>
                  Then this view shows what the server finds out about the caller, which identities that gives, which
                  entries it misses by what, and the command that would help. Or choose a request below that was refused
                  or held.
                </p>
              </EmptyState>
            )}
            <Panel
              title={about === undefined ? 'Refused and held in the last day' : 'Refused and held requests for it'}
            >
              <DecisionList spiffeId={about} />
            </Panel>
          </>
        )}
      </div>
    </>
  );
}
