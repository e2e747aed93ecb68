/** Sidekey's parts as in `serve`, in a program of the bench: with a look at its event loop, and a clock that can jump. */

import { loadServeConfig } from '../../src/config/load.ts';
import { makeCertificate } from '../../test/support/certificates.ts';
import { makePlace, type Place, requestAdmin, TRUST_DOMAIN } from '../../test/support/serve.ts';
import type { Cleanup } from '../figure.ts';
import { Program, sharedNow } from './program.ts';

export interface InnerServer extends Place {
  readonly program: Program;
  /** @throws Error unless it answers with a status below 300 */
  call(method: string, url: string, body: unknown): Promise<void>;
}

/** Those of `bin/sidekey`. */
const NODE_FLAGS = ['--max-semi-space-size=4'];

export async function serveInner(cleanup: Cleanup): Promise<InnerServer> {
  const place = makePlace(cleanup);
  const { dataDir, socket, adminSocket } = place;
  const program = Program.start(cleanup, 'server-program.ts', NODE_FLAGS);
  const config = await loadServeConfig({
    flags: {
      ...{ trustDomain: TRUST_DOMAIN, dataDir, socket, adminSocket },
      ...{ allowUnpinnedPeers: 'true', caSubject: 'C=US,O=SPIFFE', logLevel: 'silent' },
      // The rounds follow each other without a pause, and all streams are one user's.
      maxRequestsPerSecondPerUid: '1000000',
    },
    env: {},
    uid: process.getuid!(),
    folder: place.directory,
  });
  await program.tell('serve', config);
  return {
    ...place,
    program,
    async call(method, url, body) {
      const answer = await requestAdmin(adminSocket, method, url, body);
      if (answer.status >= 300) throw new Error(`${method} ${url} answered ${answer.status}`);
    },
  };
}

const OTHER = 'other.example';
/** The name of the bundle that {@link setBundle} sets. */
export const BUNDLE_NAME = `spiffe://${OTHER}`;

/** Lets whoever runs this have the bundle. */
export async function federate(server: InnerServer): Promise<void> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entry = { spiffe_id: `spiffe://${TRUST_DOMAIN}/bench`, selectors, federates_with: [OTHER] };
  await server.call('POST', '/v1/entries', entry);
}

/** Sets the bundle to a new root; says when it began to. */
export async function setBundle(server: InnerServer): Promise<number> {
  const { key } = await makeCertificate({ name: 'bench' });
  const begun = sharedNow();
  await server.call('PUT', `/v1/bundles/${OTHER}`, { keys: [key] });
  return begun;
}
