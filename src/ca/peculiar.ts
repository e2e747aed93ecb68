/**
 * `@peculiar/x509`, with the half of Reflect that its container asks for and its package does not bring. Loading it takes
 * as long as half of a start, so it is imported, dynamically, only where an authority has to be made.
 */

import 'reflect-metadata';

export * from '@peculiar/x509';
