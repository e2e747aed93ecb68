/** Containers of the engines that answer on this machine. podman.test.ts starts one of its own. */

import { test } from 'node:test';
import { engines, NO_ENGINE } from '../support/container-engine.ts';
import { addEngineTests } from './engine-tests.ts';

const here = engines();
if (here.length === 0) test('containers of a real engine are attested', { skip: NO_ENGINE });
for (const engine of here) addEngineTests(engine);
