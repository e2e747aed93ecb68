/** Containers of a real Podman, by its Docker-compatible API. */

import { after, test } from 'node:test';
import { startPodman, whyNoPodman } from '../support/podman.ts';
import { addEngineTests } from './engine-tests.ts';

const skip = whyNoPodman();
if (skip !== undefined) test('containers of a real Podman are attested', { skip });
else addEngineTests(await startPodman((end) => after(end)));
