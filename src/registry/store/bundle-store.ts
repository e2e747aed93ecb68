/** Stores other trust domains' bundles by trust domain. */

import type { FederatedBundle } from '../federated-bundle.ts';
import type { NamedStore } from './named-store.ts';

export type BundleStore = NamedStore<FederatedBundle>;
