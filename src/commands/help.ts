// What lives here: `mendflow help [command]` and `mendflow help exit-codes`.
// Invariant: the numbers printed are read from the table the commands end by.
// Apart because it is about the other commands.
import type { Command } from 'commander';
import { CommandError, exitCodes } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';

export const registerHelp: Register = (program, act) => {
  program
    .helpCommand(false)
    .command('help')
    .summary('help on a command, or `help exit-codes`')
    .argument('[topic...]', 'a command, or exit-codes')
    .action(
      act(async ({ terminal }, topic: string[]) => {
        if (topic[0] === 'exit-codes') {
          terminal.table(
            ['CODE', 'NAME', 'MEANS'],
            Object.entries(exitCodes).map(([name, { number, says }]) => [String(number), name, says]),
          );
          return 'ok';
        }
        let found: Command = program;
        for (const word of topic) {
          const next = found.commands.find((one) => one.name() === word);
          if (!next)
            throw new CommandError('usage', `There is no command "${topic.join(' ')}". See \`mendflow help\`.`);
          found = next;
        }
        found.outputHelp();
        return 'ok';
      }),
    );
};
