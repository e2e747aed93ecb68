/** Stores aliases by host name. */

import type { Alias } from '../alias.ts';
import type { NamedStore } from './named-store.ts';

export type AliasStore = NamedStore<Alias>;
