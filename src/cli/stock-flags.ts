/** Flags of stock programs, written in Go, as flags of the commands that take their places. */

/**
 * Go's flags have one dash or two: `-config FILE`, `-daemon-mode=false` of spiffe-helper. `spire-server agent show|ban|evict`
 * names the agent by `-spiffeID ID`.
 */
export function asDoubleDashes(args: readonly string[]): string[] {
  switch (args[0]) {
    case 'helper':
      return args.map((arg) => (/^-(?:config|daemon-mode)(?:=|$)/.test(arg) ? `-${arg}` : arg));
    case 'agent':
      return args.map((arg) => arg.replace(/^--?spiffeID(?==|$)/, '--spiffe-id'));
    default:
      return [...args];
  }
}
