/**
 * `@peculiar/x509` with the part of Reflect that it needs but does not bring along. Loading it is slow, so it is
 * imported dynamically, only to create an authority.
 */

import 'reflect-metadata';

export * from '@peculiar/x509';
