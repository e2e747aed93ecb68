import path from 'node:path';
import { openSqliteStore } from '../../../src/registry/sqlite/sqlite-store.ts';
import { TRUST_DOMAIN, temporaryDirectory } from '../support.ts';
import { describeStore } from './conformance.ts';

describeStore('SQLite', (t) => {
  const file = path.join(temporaryDirectory(t), 'registry.db');
  return {
    open: async (keptChanges) => {
      const store = openSqliteStore({
        path: file,
        trustDomain: TRUST_DOMAIN,
        ...(keptChanges === undefined ? {} : { keptChanges }),
      });
      t.after(() => store.close());
      return store;
    },
  };
});
