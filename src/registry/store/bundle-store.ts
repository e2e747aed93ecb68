/** Where other trust domains' bundles are kept, by the name of the trust domain. */

import type { FederatedBundle } from '../federated-bundle.ts';
import type { NamedStore } from './named-store.ts';

export type BundleStore = NamedStore<FederatedBundle>;
