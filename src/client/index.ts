/** The client of the admin API. */

export { type AdminClient, connectAdmin } from './client.ts';
