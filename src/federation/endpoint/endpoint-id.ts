/** The identity of the bundle endpoint. */

/**
 * Stands in the record of issuances for the entry of the endpoint's own SVIDs. Ids of entries have no colon, so no entry
 * can have it.
 */
export const ENDPOINT_ENTRY_ID = 'sidekey:federation';
