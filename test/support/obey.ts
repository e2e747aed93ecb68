/** A program that does over IPC what it is told to, one command after the other. */

// biome-ignore lint/suspicious/noExplicitAny: what a command takes and gives is told by its program
type Command = (options: any) => unknown;

export interface Reply {
  readonly value?: unknown;
  readonly error?: string;
}

export function obey(commands: Readonly<Record<string, Command>>): void {
  process.on('message', async ({ command, options }: { command: string; options: unknown }) => {
    const reply = await Promise.resolve()
      .then(() => commands[command]!(options))
      .then(
        (value): Reply => ({ value }),
        (error: unknown): Reply => ({ error: String((error as Error).stack ?? error) }),
      );
    process.send!(reply);
  });
  process.once('disconnect', () => process.exit());
}
