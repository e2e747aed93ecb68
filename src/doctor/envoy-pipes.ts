/**
 * Checks whether a running Envoy may open the Unix sockets of its clusters. Envoy's statistics do not tell a socket that
 * it may not open from a server that is down.
 */

import { reachOf } from '../attest/index.ts';
import type { Finding } from '../base/index.ts';
import type { CheckResult } from './check.ts';
import { areSame } from './envoy-file.ts';
import type { PipeCluster } from './envoy-state.ts';
import { listeningProcess } from './listening-process.ts';

/**
 * @param url the URL of the Envoy's admin port
 * @param place the same URL as findings show it
 * @param own the pipe of the server that was asked; undefined: not known
 */
export function judgePipes(
  pipes: readonly PipeCluster[],
  url: string,
  place: string,
  own: string | undefined,
): CheckResult {
  const failing = pipes.filter(({ open, failed }) => open === 0 && failed > 0);
  if (failing.length === 0) return { findings: [], skipped: [] };
  const { hostname, port } = new URL(url);
  const pid = listeningProcess(hostname, Number(port || 80));
  if (pid === undefined) {
    const what = `whether this Envoy may connect to ${failing.map(({ path }) => path).join(', ')}`;
    return {
      findings: [],
      skipped: [{ what, why: 'its process was not found: run sidekey doctor as root on its host' }],
    };
  }
  return { findings: failing.flatMap((pipe) => judgePipe(pipe, pid, place, own)), skipped: [] };
}

function judgePipe(
  { cluster, path, failed }: PipeCluster,
  pid: number,
  place: string,
  own: string | undefined,
): Finding[] {
  const { verdict, detail, fix, seenAs, command } = reachOf(pid, path);
  if (verdict !== 'no') return [];
  const isMissing = seenAs === undefined && detail.endsWith('does not exist');
  const elsewhere = own === undefined || own === path ? '' : `; the pipe of the server is ${own}`;
  const reach = fix ?? 'let it reach the socket';
  const isOther = own !== undefined && !areSame(own, path);
  return [
    {
      rule: 'envoy-pipe',
      severity: 'error',
      place,
      problem: `its cluster ${cluster} leads to ${path}, and its process ${pid} can not connect: ${detail}`,
      why: `all ${failed} connections failed, so it gets no secret and no update`,
      fix: isMissing
        ? `correct the path in its bootstrap${elsewhere}, or start the server with --socket ${path}`
        : isOther
          ? `correct the path in its bootstrap: the pipe of the server that was asked is ${own}; or, if the server at ${path} is meant: ${reach}`
          : reach,
      // Only for the server's own pipe: the Envoy chose any other path, and that socket's group may have other rights.
      ...(command !== undefined && path === own ? { command } : {}),
    },
  ];
}
