/** Calls of `spire-agent` that are recorded, and what the server answers. */

/** What a method answers: bytes of the messages in base64, then perhaps a status. */
export interface Answer {
  readonly messages?: readonly string[];
  readonly status?: { readonly code: number; readonly details: string };
}

/** By the path of the method. A method that is not there never answers. */
export type Answers = Readonly<Record<string, Answer>>;

export interface Case {
  readonly name: string;
  readonly answers: string;
  /** `SOCKET` stands for the path of the server, `OUT` for an empty directory. */
  readonly args: readonly string[];
  /** Sends SIGINT as soon as this is in stdout. */
  readonly interrupt?: string;
}

const socket = ['-socketPath', 'SOCKET'];

export const CASES: readonly Case[] = [
  { name: 'api fetch', answers: 'one', args: ['api', 'fetch', ...socket] },
  { name: 'api fetch x509', answers: 'many', args: ['api', 'fetch', 'x509', ...socket] },
  {
    name: 'another form of the flags',
    answers: 'one',
    args: ['api', 'fetch', 'x509', '--socketPath=SOCKET', '--output=Pretty'],
  },
  { name: 'x509 as JSON', answers: 'many', args: ['api', 'fetch', 'x509', ...socket, '-output', 'json'] },
  { name: 'x509 as JSON, one', answers: 'one', args: ['api', 'fetch', ...socket, '-output', 'json'] },
  { name: 'written', answers: 'many', args: ['api', 'fetch', 'x509', ...socket, '-write', 'OUT/'] },
  { name: 'written silently', answers: 'one', args: ['api', 'fetch', ...socket, '-silent', '-write', 'OUT'] },
  { name: 'silent', answers: 'many', args: ['api', 'fetch', ...socket, '-silent'] },
  { name: 'not silent', answers: 'one', args: ['api', 'fetch', ...socket, '-silent=false'] },
  {
    name: 'written to a directory that does not exist',
    answers: 'one',
    args: ['api', 'fetch', ...socket, '-silent', '-write', 'OUT/none'],
  },
  { name: 'x509 denied', answers: 'denied', args: ['api', 'fetch', 'x509', ...socket] },
  { name: 'no answer in time', answers: 'silence', args: ['api', 'fetch', ...socket, '-timeout', '0.2s'] },
  { name: 'no server', answers: 'one', args: ['api', 'fetch', '-socketPath', 'OUT/none.sock'] },
  { name: 'jwt', answers: 'one', args: ['api', 'fetch', 'jwt', ...socket, '-audience', 'db'] },
  {
    name: 'jwt with hints',
    answers: 'many',
    args: ['api', 'fetch', 'jwt', ...socket, '-audience', 'a,b', '-spiffeID', 'spiffe://example.org/web'],
  },
  {
    name: 'jwt as JSON',
    answers: 'many',
    args: ['api', 'fetch', 'jwt', ...socket, '-audience', 'db', '-output', 'json'],
  },
  {
    name: 'jwt by the old flag',
    answers: 'one',
    args: ['api', 'fetch', 'jwt', ...socket, '-audience', 'db', '-format', 'json'],
  },
  { name: 'jwt without an audience', answers: 'one', args: ['api', 'fetch', 'jwt', ...socket] },
  { name: 'jwt denied', answers: 'denied', args: ['api', 'fetch', 'jwt', ...socket, '-audience', 'db'] },
  {
    name: 'validate jwt',
    answers: 'one',
    args: ['api', 'validate', 'jwt', ...socket, '-audience', 'db', '-svid', 'a.b.c'],
  },
  {
    name: 'validate jwt as JSON',
    answers: 'one',
    args: ['api', 'validate', 'jwt', ...socket, '-audience', 'db', '-svid', 'a.b.c', '-output', 'json'],
  },
  {
    name: 'validate without an audience',
    answers: 'one',
    args: ['api', 'validate', 'jwt', ...socket, '-svid', 'a.b.c'],
  },
  { name: 'validate without a token', answers: 'one', args: ['api', 'validate', 'jwt', ...socket, '-audience', 'db'] },
  {
    name: 'validate what is not valid',
    answers: 'many',
    args: ['api', 'validate', 'jwt', ...socket, '-audience', 'db', '-svid', 'a.b.c'],
  },
  {
    name: 'validate denied',
    answers: 'denied',
    args: ['api', 'validate', 'jwt', ...socket, '-audience', 'db', '-svid', 'a.b.c'],
  },
  { name: 'watch', answers: 'many', args: ['api', 'watch', ...socket], interrupt: 'Received' },
  { name: 'healthcheck', answers: 'one', args: ['healthcheck', ...socket] },
  { name: 'healthcheck, more', answers: 'one', args: ['healthcheck', ...socket, '-verbose', '-shallow'] },
  { name: 'healthcheck of a server that starts', answers: 'many', args: ['healthcheck', ...socket] },
  {
    name: 'healthcheck without a server',
    answers: 'one',
    args: ['healthcheck', '-socketPath', 'OUT/none.sock', '-verbose'],
  },
  { name: 'an unknown flag', answers: 'one', args: ['api', 'fetch', ...socket, '-colour'] },
  { name: 'a flag without its value', answers: 'one', args: ['api', 'fetch', '-socketPath'] },
  { name: 'an unknown output', answers: 'one', args: ['api', 'fetch', ...socket, '-output', 'yaml'] },
  { name: 'no duration', answers: 'one', args: ['api', 'fetch', ...socket, '-timeout', '5'] },
  { name: 'no boolean', answers: 'one', args: ['api', 'fetch', ...socket, '-silent=maybe'] },
];
