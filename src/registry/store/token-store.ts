/** Stores tokens by name. */

import type { Token } from '../token.ts';
import type { NamedStore } from './named-store.ts';

export type TokenStore = NamedStore<Token>;
