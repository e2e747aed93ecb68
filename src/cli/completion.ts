/** `sidekey completion`: scripts for the completion of bash, zsh and fish, made from the commands themselves. */

import { Argument, type Command } from 'commander';
import { wordsAsCalled } from './called-as.ts';

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

/** The words that can follow a path of commands. */
interface Level {
  /** `entry create`; empty for the program. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly {
    readonly long: string;
    readonly about: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
  }[];
  /** Allowed values of the arguments. */
  readonly choices: readonly string[];
}

function levelsOf(command: Command, path: readonly string[] = []): Level[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter(({ _name }: { _name?: string } & Command) => _name !== 'help');
  const level: Level = {
    path: path.join(' '),
    commands: commands.map((one) => ({ name: one.name(), about: firstClause(one.description()) })),
    flags: help.visibleOptions(command).flatMap((option) =>
      option.long
        ? [
            {
              long: option.long,
              about: firstClause(option.description),
              takesValue: option.required,
              choices: option.argChoices ?? choicesIn(option.flags),
            },
          ]
        : [],
    ),
    choices: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [level, ...commands.flatMap((one) => levelsOf(one, [...path, one.name()]))];
}

/** The choices in a flag's placeholder, where flags of settings have them: `--log-format <json|text>`. */
function choicesIn(flags: string): string[] {
  return /<([\w-]+(?:\|[\w-]+)+)>/.exec(flags)?.[1]?.split('|') ?? [];
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

/** The branches of the shell's `case`: one for each path of commands, and one for each path and flag with choices. */
function caseRows(levels: readonly Level[]): string {
  const rows = levels.flatMap(({ path, commands, flags, choices }) => [
    ...flags
      .filter((flag) => flag.choices.length > 0)
      .map((flag) => `    ${quoted(`${path} ${flag.long}`.trim())}) words=${quoted(flag.choices.join(' '))} ;;`),
    // An empty path is the program itself.
    `    ${quoted(path)}) words=${quoted([...commands.map(({ name }) => name), ...choices, ...flags.map(({ long }) => long)].join(' '))} ;;`,
  ]);
  return rows.join('\n');
}

/** The flags whose values are not from a known list; files are completed as their values. */
function withFile(levels: readonly Level[]): string {
  const flags = levels.flatMap((level) =>
    level.flags.filter(({ takesValue, choices }) => takesValue && choices.length === 0),
  );
  return [...new Set(flags.map(({ long }) => long))].join('|');
}

/**
 * A shell function that sets `known` to the words that may follow a path of commands, or a path and a flag; it fails if
 * there are none.
 */
function wordsFunction(levels: readonly Level[]): string {
  return `_sidekey_words() {
  local words=
  case $1 in
${caseRows(levels)}
  esac
  known=$words
  [ -n "$known" ]
}`;
}

/** A shell loop that collects in `trail` the commands among the words before the current one. */
function trailLoop(levels: readonly Level[], first: number, word: string, current: string): string {
  const paths = levels.flatMap(({ path }) => (path === '' ? [] : [quoted(path)])).join('|');
  return `  for ((i = ${first}; i < ${current}; i++)); do
    case "\${trail:+$trail }${word}" in
    ${paths}) trail="\${trail:+$trail }${word}" ;;
    esac
  done
  [ "$before" = -o ] && before=--output`;
}

const LOOK_UP = `  case $before in --*) _sidekey_words "\${trail:+$trail }$before" ;; *) false ;; esac || _sidekey_words "$trail"`;

function bashScript(levels: readonly Level[]): string {
  return `# bash completion for sidekey
${wordsFunction(levels)}
_sidekey() {
  local before=\${COMP_WORDS[COMP_CWORD - 1]} trail= known= i
${trailLoop(levels, 1, `\${COMP_WORDS[i]}`, 'COMP_CWORD')}
  case $before in ${withFile(levels)}) return ;; esac
${LOOK_UP}
  COMPREPLY=($(compgen -W "$known" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sidekey sidekey
`;
}

function zshScript(levels: readonly Level[]): string {
  return `#compdef sidekey
${wordsFunction(levels)}
_sidekey() {
  local before=\${words[CURRENT-1]} trail= known= i
${trailLoop(levels, 2, `\${words[i]}`, 'CURRENT')}
  case $before in ${withFile(levels)}) _files; return ;; esac
${LOOK_UP}
  compadd -- \${=known}
}
_sidekey "$@"
`;
}

function fishScript(levels: readonly Level[]): string {
  const lines = levels.flatMap(({ path, commands, flags, choices }) => {
    const names = path === '' ? [] : path.split(' ');
    const inPath = names.map((name) => `__fish_seen_subcommand_from ${name}`);
    const notYet =
      commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.map(({ name }) => name).join(' ')}`];
    const when = [...inPath, ...notYet].join('; and ');
    const condition = when === '' ? '' : ` -n ${quoted(when)}`;
    return [
      ...commands.map(({ name, about }) => `complete -c sidekey -f${condition} -a ${name} -d ${quoted(about)}`),
      ...(choices.length === 0 ? [] : [`complete -c sidekey -f${condition} -a ${quoted(choices.join(' '))}`]),
      ...flags.map((flag) => {
        const value =
          flag.choices.length > 0 ? ` -x -a ${quoted(flag.choices.join(' '))}` : flag.takesValue ? ' -r' : '';
        return `complete -c sidekey${condition} -l ${flag.long.slice(2)}${value} -d ${quoted(flag.about)}`;
      }),
    ];
  });
  return `# fish completion for sidekey\n${lines.join('\n')}\n`;
}
