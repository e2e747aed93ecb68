/** Checks the connection of an agent to its server. */

import type { DoctorJson } from '../admin/index.ts';
import type { Finding } from '../base/index.ts';

type Agent = NonNullable<DoctorJson['agent']>;

export function judgeAgent(agent: Agent, at: string): Finding[] {
  return [...judgeServer(agent), ...judgeOwnSvid(agent, at), ...judgeBootstrap(agent)];
}

function judgeServer({ state, since, servers, server, problem, first_end_at: firstEnd }: Agent): Finding[] {
  if (state === 'connected') return [];
  const place = server ?? servers.join(', ');
  const head = { rule: 'server-away', severity: 'error', place } as const;
  const reason = problem === null ? '' : `: ${problem}`;
  const fix = `start the server, or let this host reach ${place}; the agent tries again by itself`;
  if (state === 'starting') {
    const told = `the agent has not reached its server yet${reason}`;
    return [{ ...head, problem: told, why: 'the agent serves nobody before it has entries and a bundle', fix }];
  }
  const ends = firstEnd === null ? 'No SVID is in use' : `The first ends at ${firstEnd}`;
  return [
    {
      ...head,
      problem: `the server has been away since ${since}${reason}`,
      why: `workloads keep their SVIDs until these end, and get no new ones. ${ends}`,
      fix,
    },
  ];
}

function judgeOwnSvid({ state, problem, spiffe_id: id, svid_expires_at: end }: Agent, at: string): Finding[] {
  if (id === null || end === null) return [];
  const head = { severity: 'error', place: id } as const;
  if (Date.parse(end) <= Date.parse(at)) {
    return [
      {
        rule: 'agent-svid-ended',
        ...head,
        problem: `the agent's own SVID ended at ${end}`,
        why: 'the server refuses the agent until it attests itself again, which a join token allows only once',
        fix: 'with a join token: stop the agent, empty its data directory, and start it with a new token of sidekey agent token; with a certificate (x509pop): see why its log says that the server refuses it',
      },
    ];
  }
  if (state !== 'connected' || problem === null) return [];
  return [
    {
      rule: 'agent-svid-ends',
      ...head,
      problem: `the agent's own SVID ends at ${end}, and is not renewed: ${problem}`,
      why: 'the server refuses the agent from then on',
      fix: 'find the reason in the log of the server; the agent tries again by itself',
    },
  ];
}

function judgeBootstrap({ server, joined_insecurely: isInsecure }: Agent): Finding[] {
  if (!isInsecure) return [];
  return [
    {
      rule: 'insecure-bootstrap',
      severity: 'warning',
      place: server ?? 'server',
      problem: 'the agent joined with --insecure-bootstrap: it has not checked who its server is',
      why: 'whoever answered then decides whom the workloads of this host trust',
      fix: "evict the agent on the server, empty the agent's data directory, and start it with a new token and with --trust-bundle, the output of sidekey bundle show on the server",
    },
  ];
}

/** A finding of an agent: what changes on its server has no command here. */
export function onServer({ server, servers }: Agent): (finding: Finding) => Finding {
  return (finding) => {
    if (!/^sidekey (?:entry|bundle|federation|apply) /.test(finding.command ?? '')) return finding;
    const { command, ...rest } = finding;
    return { ...rest, fix: `${rest.fix}; on the server (${server ?? servers.join(', ')}): ${command}` };
  };
}
