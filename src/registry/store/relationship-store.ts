/** Stores federation relationships by trust domain. */

import type { Relationship } from '../relationship.ts';
import type { NamedStore } from './named-store.ts';

export type RelationshipStore = NamedStore<Relationship>;
