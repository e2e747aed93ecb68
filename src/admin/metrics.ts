/** `GET /metrics`: the metrics for Prometheus. They need a token on TCP, like everything that tells of the host. */

import type { FastifyInstance } from 'fastify';
import { TEXT } from './schema.ts';

/** Reads the metrics now, as text of this media type. @param accept the request's Accept header */
export type ReadMetrics = (accept: string | undefined) => Promise<{ readonly type: string; readonly text: string }>;

export function addMetricsRoute(app: FastifyInstance, read: ReadMetrics): void {
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: "The server's metrics, in the text format of Prometheus or in OpenMetrics",
        response: {
          200: { content: { 'text/plain': { schema: TEXT }, 'application/openmetrics-text': { schema: TEXT } } },
        },
      },
    },
    async ({ headers }, reply) => {
      const { type, text } = await read(headers.accept);
      return reply.type(type).header('vary', 'accept').send(text);
    },
  );
}
