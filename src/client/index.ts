/** The client of the admin API. */

export { type AdminClient, connectAdmin, type QueryOf } from './client.ts';
