/** Gives a schema its name in the OpenAPI document, where it is then defined once. */
export function titled<S extends object>(title: string, schema: S): S {
  return Object.assign(schema, { title });
}
