/**
 * The methods of the SPIFFE Workload API.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md
 */

import { type Metadata, type Method, Status, StatusError } from '../wire/index.ts';
import { jwtBundles, x509Bundles } from './bundle-feed.ts';
import { type Feed, type FeedContext, type StateParts, StateStream } from './state-stream.ts';
import { X509SvidFeed } from './x509-svid-feed.ts';

const SERVICE = '/SpiffeWorkloadAPI';

export function workloadApi(parts: StateParts): Method[] {
  const stream = (name: string, open: (context: FeedContext) => Feed): Method => ({
    path: `${SERVICE}/${name}`,
    kind: 'server-stream',
    open: (opened, _request, metadata) => {
      checkHeader(metadata);
      return new StateStream(opened, open, parts);
    },
  });
  return [
    stream('FetchX509SVID', (context) => new X509SvidFeed(context)),
    stream('FetchX509Bundles', x509Bundles),
    stream('FetchJWTBundles', jwtBundles),
  ];
}

/** Clients send it so that a server-side request forgery, which cannot choose headers, gets no identity. */
const HEADER = 'workload.spiffe.io';

/** @throws StatusError INVALID_ARGUMENT. @see Workload Endpoint, section 5 and 6.1 */
function checkHeader(metadata: Metadata): void {
  const values = metadata.texts(HEADER);
  if (values.length === 1 && values[0] === 'true') return;
  throw new StatusError(
    Status.INVALID_ARGUMENT,
    `security header missing from request: the metadata ${HEADER} must be true`,
  );
}
