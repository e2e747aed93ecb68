/** The standard services of gRPC on the pipe: health, and server reflection. */

import type { Method } from '../wire/index.ts';
import { Health } from './health.ts';
import { reflectionMethods } from './reflection.ts';

export interface StandardServices {
  readonly methods: readonly Method[];
  readonly health: Health;
}

/** @param served the methods of the other services on the pipe, whose health is reported */
export function standardServices(served: readonly Method[]): StandardServices {
  const health = new Health(servicesOf(served));
  const methods = [...health.methods, ...reflectionMethods(servicesOf([...served, ...health.methods]))];
  return { methods, health };
}

/** The full names of the methods' services, each once. */
function servicesOf(methods: readonly Method[]): string[] {
  return [...new Set(methods.map(({ path }) => path.slice(1, path.lastIndexOf('/'))))];
}
