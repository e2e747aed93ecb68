/** Maximum size of a body that the admin API accepts, in bytes. Clients check it too, to give a better message. */
export const BODY_LIMIT = 1024 * 1024;
