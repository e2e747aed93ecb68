/**
 * @peculiar/x509, the tests' second opinion on certificates. It asks for the metadata half of Reflect, which its package
 * does not bring: this is as much of it as it uses.
 */

const metadata = new WeakMap<object, Map<unknown, unknown>>();

const define = (key: unknown, value: unknown, target: object): void => {
  const known = metadata.get(target) ?? new Map();
  metadata.set(target, known.set(key, value));
};

Object.assign(Reflect, {
  defineMetadata: define,
  getMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  getOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  hasOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.has(key) ?? false,
  metadata: (key: unknown, value: unknown) => (target: object) => define(key, value, target),
});

export const x509: typeof import('@peculiar/x509') = await import('@peculiar/x509');
