/** Maximum size of a body that the admin API accepts, in bytes. Clients check it too, to give a better message. */
export const BODY_LIMIT = 1024 * 1024;

/** The same for the entries of one source, which are applied as a whole: about 100,000 entries. */
export const ENTRIES_BODY_LIMIT = 32 * 1024 * 1024;
