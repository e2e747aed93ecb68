/** Liveness and readiness of the server. */

import type { FastifyInstance } from 'fastify';
import { SidekeyError } from '../base/index.ts';
import { HEALTH, READINESS, type ReadinessPartJson } from './schema.ts';
import { time } from './time.ts';

/** One part of the server. */
export interface ReadinessPart {
  readonly name: string;
  readonly ready: boolean;
  /** Since when it is ready, or is not, in milliseconds since the epoch. */
  readonly since: number;
  /** Why it is not ready. */
  readonly reason: string | undefined;
}

export interface Readiness {
  /** True if all parts are ready. */
  readonly ready: boolean;
  readonly parts: readonly ReadinessPart[];
  /** What works only for now. */
  readonly warnings?: readonly string[];
}

export function addHealthRoutes(app: FastifyInstance, ready: () => Readiness): void {
  app.get(
    '/healthz',
    { schema: { operationId: 'getHealth', summary: 'The process lives', response: { 200: HEALTH } } },
    () => ({
      status: 'ok',
    }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'getReadiness',
        errors: ['ERR_NOT_READY'],
        summary: 'Every part of the server is ready: 200. Otherwise 503, with the parts that are not, and since when',
        response: { 200: READINESS },
      },
    },
    () => {
      const readiness = ready();
      const parts = readiness.parts.map(partJson);
      const { warnings = [] } = readiness;
      if (readiness.ready) return { status: 'ready', parts, ...(warnings.length === 0 ? {} : { warnings }) };
      throw new SidekeyError('ERR_NOT_READY', detailOf(readiness.parts), { extra: { parts } });
    },
  );
}

function detailOf(parts: readonly ReadinessPart[]): string {
  return parts
    .filter(({ ready }) => !ready)
    .map(({ name, since, reason }) => `${name}: ${reason} (since ${time(since)})`)
    .join('; ');
}

function partJson({ name, ready, since, reason }: ReadinessPart): ReadinessPartJson {
  return { name, ready, since: time(since), reason: reason ?? null };
}
