/** Global flags: all commands that ask the server have them, and users also write them before the command. */

export const GLOBAL_FLAGS: readonly string[] = ['--admin-socket', '--admin-url', '--token-file', '--output', '-o'];

/**
 * The same arguments with such flags right after the command: `-o json entry list` becomes `entry list -o json`.
 * @param isGroup whether a command has subcommands
 */
export function moveGlobalFlags(args: readonly string[], isGroup: (command: string) => boolean): string[] {
  const flags: string[] = [];
  const words: string[] = [];
  let at = 0;
  while (at < args.length) {
    const arg = args[at]!;
    const isWhole = GLOBAL_FLAGS.some((flag) => arg.startsWith(`${flag}=`)) || /^-o./.test(arg);
    if (isWhole) flags.push(arg);
    else if (GLOBAL_FLAGS.includes(arg)) {
      // Commander reports a missing value.
      flags.push(...args.slice(at, at + 2));
      at += 1;
    } else if (arg.startsWith('-')) break;
    else words.push(arg);
    at += 1;
    if (words.length === 2 || (words.length === 1 && !isGroup(words[0]!))) break;
  }
  return [...words, ...flags, ...args.slice(at)];
}
