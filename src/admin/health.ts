/** Liveness and readiness of the server. */

import type { FastifyInstance } from 'fastify';
import { SidekeyError } from '../base/index.ts';
import { HEALTH, READINESS } from './schema.ts';

/** The server's state; `reason` says what is missing until it is ready, `warnings` what works only for now. */
export type Readiness =
  | { readonly ready: true; readonly warnings: readonly string[] }
  | { readonly ready: false; readonly reason: string };

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
        summary: 'Every listener accepts',
        response: { 200: READINESS },
      },
    },
    () => {
      const readiness = ready();
      if (!readiness.ready) throw new SidekeyError('ERR_NOT_READY', readiness.reason);
      const { warnings } = readiness;
      return warnings.length === 0 ? { status: 'ready' } : { status: 'ready', warnings };
    },
  );
}
