/** Steps that show what Envoy and Sidekey refuse. */

import { impatient, MISTAKEN, MISTAKEN_ROUTE } from '../alterations.ts';
import { handshakes } from '../envoys.ts';
import { expect, wait } from '../expect.ts';
import { step } from '../report.ts';
import type { Stage } from '../stage.ts';
import { get } from './requests.ts';
import { BUNDLE, idOf } from './start.ts';

/** @param binary path of Envoy */
export async function showRefusals(stage: Stage, binary: string): Promise<void> {
  await step('a peer with another SPIFFE ID is refused', () => wrongPeer(stage));
  await step("an Envoy asks for another one's identity", () => impostor(stage, binary));
}

/** Uses front-envoy's route to service-gray on which it expects service-purple. */
async function wrongPeer(stage: Stage): Promise<{ detail: string }> {
  const { status, body } = await get(stage, MISTAKEN_ROUTE);
  expect(status === 503, 'status 503', `${status} ${body}`);
  const stat = `cluster.${MISTAKEN}.ssl.fail_verify_san`;
  const refused = await stage.envoys['front-envoy'].counter(stat);
  expect(refused > 0, `${stat} above 0`, refused);
  return { detail: `503: service-gray answered where ${idOf('service-purple')} was expected` };
}

/** Starts an Envoy with the bootstrap of service-purple and the same user, but another path. */
async function impostor(stage: Stage, binary: string): Promise<{ detail: string }> {
  const { impostor: envoy, sidekey, processes, ports } = stage;
  const wanted = idOf('service-purple');
  await envoy.place(binary);
  await envoy.start(processes, impatient(stage.bootstrap('service-purple', 'impostor')));
  const { detail } = await sidekey.logged(`${wanted} is held for the impostor`, (line) => {
    return line.msg === 'name held' && line.pid === envoy.pid && line.name === wanted;
  });
  await envoy.isLive();
  for (const name of [wanted, BUNDLE]) {
    await wait(`the impostor to stop waiting for ${name}`, {
      look: () => envoy.secret(name),
      until: ({ applied, givenUp }) => applied === 0 && givenUp === 1,
    });
  }
  expect(!(await handshakes(ports.impostor.https)), 'no handshake with the impostor', 'a handshake');
  await envoy.stop();
  return { detail: `held: ${detail?.replaceAll(stage.folder, '…')}` };
}
