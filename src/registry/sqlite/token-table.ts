/** The table of tokens; times are milliseconds since the epoch. */

import { ROLES } from '../../base/index.ts';
import type { Token } from '../token.ts';
import type { Access } from './access.ts';
import type { Logs } from './logs.ts';
import { type NamedTable, namedTable } from './named-table.ts';

interface TokenRow {
  name: string;
  role: string;
  hash: string;
  created_at: number;
  expires_at: number;
}

export function tokenTable(access: Access, logs: Logs): NamedTable<Token> {
  return namedTable<Token, TokenRow>(access, logs, {
    table: 'tokens',
    what: 'token',
    columns: ['name', 'role', 'hash', 'created_at', 'expires_at'],
    toRow: ({ name, role, hash, createdAt, expiresAt }) => ({
      name,
      role,
      hash,
      created_at: createdAt,
      expires_at: expiresAt,
    }),
    fromRow: ({ name, role: given, hash, created_at: createdAt, expires_at: expiresAt }) => {
      const role = ROLES.find((one) => one === given);
      if (role === undefined) throw new Error(`${JSON.stringify(given)} is not a role`);
      return { name, role, hash, createdAt, expiresAt };
    },
  });
}
