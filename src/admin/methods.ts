/** Finds the methods of a path, for the Allow header of 405. */

import type { RouteOptions } from 'fastify';

/**
 * The methods of the routes that match this path, sorted; empty for an unknown path. A route of exactly this path stands
 * before those with parameters.
 */
export function methodsOf(path: string, routes: readonly Pick<RouteOptions, 'method' | 'url'>[]): string[] {
  const exact = routes.filter((route) => route.url === path);
  const fitting = exact.length > 0 ? exact : routes.filter((route) => fits(route.url.split('/'), path.split('/')));
  return [...new Set(fitting.flatMap((route) => route.method))].sort();
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((part, at) => part === segments[at] || (part.startsWith(':') && segments[at] !== ''));
}
