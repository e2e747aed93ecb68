/** How an Envoy takes the certificate of its peer. */

import assert from 'node:assert/strict';
import type { LeafName } from './pki.ts';
import type { ContextName, Stage } from './stage.ts';
import type { Row } from './tables.ts';

/** As a client, whatever the validator and the reason. */
export const BAD_SERVER = '503 UF CERTIFICATE_VERIFY_FAILED';

export const OK = { asServer: 'ok', asClient: 'ok' };
export const REFUSED = { asServer: 'certificate_unknown', asClient: BAD_SERVER };

/** Shows Envoy a leaf as a client's and as a server's. */
export async function tryLeaf(stage: Stage, context: ContextName, leaf: LeafName): Promise<typeof OK> {
  const [asServer, asClient] = await Promise.all([stage.asServer(context, leaf), stage.asClient(context, leaf)]);
  return { asServer, asClient };
}

/** Pushes the bundle of a row to these contexts, then tries its leaves. */
export async function verifyRow(
  stage: Stage,
  contexts: readonly ContextName[],
  { push, cells }: Row<LeafName>,
): Promise<void> {
  await Promise.all(contexts.map((context) => stage.pushBundle(context, push)));
  await Promise.all(
    contexts.map(async (context) => {
      const seen = Object.keys(cells).map(async (leaf) => [leaf, await tryLeaf(stage, context, leaf as LeafName)]);
      const expected = Object.entries(cells).map(([leaf, cell]) => {
        if (cell === 'ok') return [leaf, OK];
        return [leaf, context === 'spiffe' ? REFUSED : { asServer: cell, asClient: BAD_SERVER }];
      });
      assert.deepEqual(await Promise.all(seen), expected, context);
    }),
  );
}
