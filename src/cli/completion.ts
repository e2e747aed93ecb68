/** `sidekey completion`: scripts for the completion of bash, zsh and fish, made from the commands themselves. */

import { Argument, type Command } from 'commander';
import { wordsAsCalled } from './called-as.ts';
import { GLOBAL_FLAGS } from './global-flags.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** @param whole makes a program with all commands */
export function addCompletionCommand(program: Command, whole: () => Command): void {
  program
    .command('completion')
    .description('print a script that completes commands and flags')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', wordsAsCalled(TO_LOAD))
    .action((shell: Shell) => void process.stdout.write(scriptFor(shell, levelsOf(whole()))));
}

const TO_LOAD = `
To load it:
  bash: mkdir -p ~/.local/share/bash-completion/completions &&
        sidekey completion bash > ~/.local/share/bash-completion/completions/sidekey
  zsh:  sidekey completion zsh > DIR/_sidekey, in a DIR of $fpath
  fish: mkdir -p ~/.config/fish/completions &&
        sidekey completion fish > ~/.config/fish/completions/sidekey.fish`;

interface CompletedFlag {
  /** `--output`, and `-o` if there is one. */
  readonly names: readonly string[];
  readonly about: string;
  /** Whether the next word is its value. */
  readonly takesValue: boolean;
  /** The values that it can have; empty: any. */
  readonly choices: readonly string[];
}

/** The words that can follow a path of commands. */
interface Level {
  /** `entry create`; empty for the program. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly CompletedFlag[];
  /** Allowed values of the arguments. */
  readonly choices: readonly string[];
}

function levelsOf(program: Command): Level[] {
  const [top, ...below] = levelsBelow(program, []);
  // They are understood before the command too, but a script must know of their values only.
  const flags = below.flatMap(({ flags }) => flags);
  const global = GLOBAL_FLAGS.flatMap((name) => flags.find(({ names }) => names[0] === name) ?? []);
  return [{ ...top!, flags: [...top!.flags, ...global] }, ...below];
}

function levelsBelow(command: Command, path: readonly string[]): Level[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  const level: Level = {
    path: path.join(' '),
    commands: commands.map((one) => ({ name: one.name(), about: firstClause(one.description()) })),
    flags: help.visibleOptions(command).flatMap(({ long, short, description, required, argChoices, flags }) => {
      if (!long) return [];
      const choices = argChoices ?? choicesIn(flags);
      return [
        { names: short ? [long, short] : [long], about: firstClause(description), takesValue: required, choices },
      ];
    }),
    choices: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [level, ...commands.flatMap((one) => levelsBelow(one, [...path, one.name()]))];
}

/** The choices in a flag's placeholder, where flags of settings have them: `--log-format <json|text>`. Words in capitals are none. */
function choicesIn(flags: string): string[] {
  return /<([a-z\d][a-z\d-]*(?:\|[a-z\d][a-z\d-]*)+)>/.exec(flags)?.[1]?.split('|') ?? [];
}

function firstClause(text: string): string {
  return text.split(/[;(]/, 1)[0]!.trim();
}

function scriptFor(shell: Shell, levels: readonly Level[]): string {
  if (shell === 'fish') return fishScript(levels);
  return shell === 'bash' ? bashScript(levels) : zshScript(levels);
}

/** The text in single quotes, which all three shells read alike. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '').replaceAll("'", '’')}'`;
}

/** The flags with a value, after their paths: `entry list --output`. */
function valueFlags(levels: readonly Level[]): { readonly places: readonly string[]; readonly choices: string }[] {
  return levels.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map(({ names, choices }) => ({
        places: names.map((name) => `${path} ${name}`.trim()),
        choices: choices.join(' '),
      })),
  );
}

/** Functions for bash and zsh. All set `known` to the words that may follow. */
function tables(levels: readonly Level[]): string {
  const words = levels.map(({ path, commands, choices, flags }) => {
    const longs = flags.map(({ names }) => names[0]!);
    return `  ${quoted(path)}) known=${quoted([...commands.map(({ name }) => name), ...choices, ...longs].join(' '))} ;;`;
  });
  const values = valueFlags(levels);
  const any = values.filter(({ choices }) => choices === '').flatMap(({ places }) => places);
  const some = values
    .filter(({ choices }) => choices !== '')
    .map(({ places, choices }) => `  ${places.map(quoted).join('|')}) known=${quoted(choices)} ;;`);
  const paths = levels.flatMap(({ path }) => (path === '' ? [] : [quoted(path)]));
  return `# What may follow a path of commands.
_sidekey_words() {
  case $1 in
${words.join('\n')}
  esac
}
# The values of a flag after a path; none: any. Fails where it takes no value.
_sidekey_values() {
  known=
  case $1 in
${some.join('\n')}
  ${any.map(quoted).join('|')}) ;;
  *) return 1 ;;
  esac
}
_sidekey_is_path() {
  case $1 in
  ${paths.join('|')}) ;;
  *) return 1 ;;
  esac
}
# Takes one word before the current one: \`trail\` is the path so far, \`flag\` the flag whose value comes next.
_sidekey_take() {
  if [ -n "$flag" ]; then
    flag=
    return
  fi
  case $1 in
  -*) if _sidekey_values "\${trail:+$trail }$1"; then flag=$1; fi ;;
  *) if _sidekey_is_path "\${trail:+$trail }$1"; then trail="\${trail:+$trail }$1"; fi ;;
  esac
}`;
}

function bashScript(levels: readonly Level[]): string {
  return `# bash completion for sidekey
${tables(levels)}
_sidekey() {
  local trail= flag= known= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    # bash splits --flag=value into three words.
    [ "$word" = = ] || _sidekey_take "$word"
  done
  word=\${COMP_WORDS[COMP_CWORD]}
  [ "$word" != = ] || word=
  if [ -n "$flag" ]; then
    _sidekey_values "\${trail:+$trail }$flag"
    [ -n "$known" ] || return
  else
    _sidekey_words "$trail"
  fi
  COMPREPLY=($(compgen -W "$known" -- "$word"))
}
complete -o default -F _sidekey sidekey
`;
}

function zshScript(levels: readonly Level[]): string {
  return `#compdef sidekey
${tables(levels)}
_sidekey() {
  local trail= flag= known= word i
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    case $word in -*=*) ;; *) _sidekey_take "$word" ;; esac
  done
  word=\${words[CURRENT]}
  case $word in -*=*)
    flag=\${word%%=*}
    compset -P '*='
    ;;
  esac
  if [ -n "$flag" ]; then
    _sidekey_values "\${trail:+$trail }$flag"
    if [ -z "$known" ]; then
      _files
      return
    fi
  else
    _sidekey_words "$trail"
  fi
  compadd -- \${=known}
}
_sidekey "$@"
`;
}

function fishScript(levels: readonly Level[]): string {
  const flags = valueFlags(levels).flatMap(({ places }) => places);
  const lines = levels.flatMap(({ path, commands, flags, choices }) => {
    const when = `complete -c sidekey -n ${quoted(`__sidekey_at ${path}`.trim())}`;
    return [
      ...commands.map(({ name, about }) => `${when} -f -a ${name} -d ${quoted(about)}`),
      ...(choices.length === 0 ? [] : [`${when} -f -a ${quoted(choices.join(' '))}`]),
      ...flags.map(({ names, about, takesValue, choices }) => {
        const [long, short] = names;
        const name = `-l ${long!.slice(2)}${short === undefined ? '' : ` -s ${short.slice(1)}`}`;
        const value = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : takesValue ? ' -r -F' : '';
        return `${when} ${name}${value} -d ${quoted(about)}`;
      }),
    ];
  });
  return `# fish completion for sidekey
set -g __sidekey_paths ${levels.flatMap(({ path }) => (path === '' ? [] : [quoted(path)])).join(' ')}
set -g __sidekey_value_flags ${flags.map(quoted).join(' ')}
# Whether the words before the current one lead to this path of commands.
function __sidekey_at
    set -l trail
    set -l is_value 0
    for word in (commandline -opc)[2..-1]
        if test $is_value = 1
            set is_value 0
            continue
        end
        set -l longer (string join -- ' ' $trail $word)
        switch $word
            case '-*'
                contains -- $longer $__sidekey_value_flags; and set is_value 1
            case '*'
                contains -- $longer $__sidekey_paths; and set trail $trail $word
        end
    end
    test "$trail" = "$argv"
end
${lines.join('\n')}
`;
}
