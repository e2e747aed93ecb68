/**
 * `npm run bench [-- NAME…]`: measures and prints one JSON line a figure. Everything runs as a user would run it: the
 * built bundle in its own process, real Envoys, real sockets.
 */

import { Cleanup, type Figure } from './figure.ts';
import { attestation } from './figures/attestation.ts';
import { auditIssuance } from './figures/audit-issuance.ts';
import { bundleChange } from './figures/bundle-change.ts';
import { cli } from './figures/cli.ts';
import { composeUp } from './figures/compose-up.ts';
import { applyEntries, manyEntries } from './figures/declared-entries.ts';
import { dockerAttestation } from './figures/docker-attestation.ts';
import { entriesAtOnce } from './figures/entries-at-once.ts';
import { entryToEnvoy } from './figures/entry-to-envoy.ts';
import { entryToGoSpiffe } from './figures/entry-to-go-spiffe.ts';
import { entryToSpire } from './figures/entry-to-spire.ts';
import { explain } from './figures/explain.ts';
import { federationPolls } from './figures/federation.ts';
import { federationNewRoot, federationRotationTraffic } from './figures/federation-traffic.ts';
import { firstSecret } from './figures/first-secret.ts';
import { firstService } from './figures/first-service.ts';
import { fleetAgents, fleetEntry, fleetKills, fleetRevocation } from './figures/fleet.ts';
import { heldNames } from './figures/held-names.ts';
import { hostile } from './figures/hostile.ts';
import { hostileAdmin } from './figures/hostile-admin.ts';
import { hostileContainers } from './figures/hostile-containers.ts';
import { jwtTokens } from './figures/jwt-tokens.ts';
import { leafSvids } from './figures/leaf-svids.ts';
import { ledger } from './figures/ledger.ts';
import { match } from './figures/match.ts';
import { memory } from './figures/memory.ts';
import { metricsScrape } from './figures/metrics-scrape.ts';
import { page } from './figures/page.ts';
import { pageInBrowser } from './figures/page-browser.ts';
import { pushToAck } from './figures/push-to-ack.ts';
import { renewal } from './figures/renewal.ts';
import { revocation, revocationStreams } from './figures/revocation.ts';
import { revocationTraffic } from './figures/revocation-traffic.ts';
import { rotation } from './figures/rotation.ts';
import { rotationTraffic } from './figures/rotation-traffic.ts';
import { storm } from './figures/storm.ts';
import { fetches, streamsOpened, tinyStreamsOpened } from './figures/streams.ts';
import { variants } from './figures/variants.ts';
import { workloadRenewal, workloadStreams } from './figures/workload-streams.ts';

const BENCHES: Readonly<Record<string, (cleanup: Cleanup) => Promise<Figure[]>>> = {
  'first-service': firstService,
  'first-secret': firstSecret,
  'federation-polls': federationPolls,
  'fleet-entry': fleetEntry,
  'fleet-revocation': fleetRevocation,
  'fleet-agents': fleetAgents,
  'fleet-kills': fleetKills,
  'federation-new-root': federationNewRoot,
  'federation-rotation-traffic': federationRotationTraffic,
  'entry-to-envoy': entryToEnvoy,
  'entry-to-go-spiffe': entryToGoSpiffe,
  'entry-to-spire': entryToSpire,
  'leaf-svids': leafSvids,
  'audit-issuance': auditIssuance,
  'jwt-tokens': jwtTokens,
  'entries-at-once': entriesAtOnce,
  'apply-entries': applyEntries,
  'many-entries': manyEntries,
  attestation,
  'docker-attestation': dockerAttestation,
  'compose-up': composeUp,
  streams: streamsOpened,
  'tiny-streams': tinyStreamsOpened,
  'workload-streams': workloadStreams,
  'workload-renewal': workloadRenewal,
  'bundle-change': bundleChange,
  revocation,
  'revocation-streams': revocationStreams,
  'revocation-traffic': revocationTraffic,
  page,
  variants,
  renewal,
  'push-to-ack': pushToAck,
  rotation,
  'rotation-traffic': rotationTraffic,
  fetches,
  match,
  explain,
  cli,
  ledger,
  'page-browser': pageInBrowser,
  'metrics-scrape': metricsScrape,
  'held-names': heldNames,
  memory,
  storm,
  hostile,
  'hostile-admin': hostileAdmin,
  'hostile-containers': hostileContainers,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
const cleanup = new Cleanup();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void cleanup.run().then(() => process.exit(1)));
}
for (const name of asked.length > 0 ? asked : Object.keys(BENCHES)) {
  try {
    for (const figure of await BENCHES[name]!(cleanup)) console.log(JSON.stringify(figure));
  } finally {
    await cleanup.run();
  }
}
