/** The trust domain's bundle, for whoever has to trust it. */

import type { FastifyInstance } from 'fastify';
import type { CertificateAuthority } from '../ca/types.ts';
import { bundleDocument } from '../spiffe/bundle-json.ts';
import { BUNDLE } from './schema.ts';

const PEM = 'application/x-pem-file';

/** How often others should look for a change of the own bundle, in seconds; SPIRE's default. */
const REFRESH_HINT = 300;

export function addBundleRoutes(app: FastifyInstance, ca: Pick<CertificateAuthority, 'bundle'>): void {
  app.get(
    '/v1/bundle',
    { schema: { summary: 'The SPIFFE bundle of the trust domain', response: { 200: BUNDLE }, produces: [PEM] } },
    (request, reply) => {
      const bundle = ca.bundle();
      reply.header('vary', 'accept');
      return wantsPem(request.headers.accept) ? reply.type(PEM).send(bundle.pem) : bundleDocument(bundle, REFRESH_HINT);
    },
  );
}

/** PEM is for those who ask for it by name; anyone else gets JSON. */
function wantsPem(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((range) => range.split(';', 1)[0]!.trim().toLowerCase() === PEM);
}
