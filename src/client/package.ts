/** What the package `sidekey` exports: the client of the admin API, and the types of its OpenAPI document. */

export type * from '../gen/admin-api.ts';
export {
  type AdminClient,
  AdminError,
  type AdminRequest,
  type AdminTarget,
  connectAdmin,
  type QueryOf,
} from './client.ts';
export type { AdminEvent } from './event-parser.ts';
