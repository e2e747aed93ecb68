/** Containers of a real Podman, by its Docker-compatible API. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startPodman, whyNoPodman } from '../support/podman.ts';
import { addEngineTests, IMAGE, RUN, startAttestor } from './engine-tests.ts';

const skip = whyNoPodman();
if (skip !== undefined) test('containers of a real Podman are attested', { skip });
else {
  const podman = await startPodman((end) => after(end));
  addEngineTests(podman);

  test('Podman: a container in a pod is attested as itself', async (t) => {
    const { pipe, folder, attestNext } = await startAttestor(t, podman);
    const [name, pod] = [`${RUN}-m`, `${RUN}-pod`];
    const caller = podman.startCallerInPod(t, IMAGE, pod, { name, folder });
    await caller.tell('connect', pipe.path);
    const { keys } = await attestNext();
    const id = podman.inspect(name, '{{.Id}}');
    for (const key of [`docker:name:${name}`, `docker:container_id:${id}`])
      assert.ok(keys.has(key), [...keys].join(' '));
  });
}
