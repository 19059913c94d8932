// What lives here: the command line as one value: all commands, how their errors are told, and with which number it ends.
// Invariant: no stack trace reaches a person who did not ask for it; a wrong word on the command line ends with the number for usage.
// Apart from the entry so that tests run commands without a process of their own.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { readConfig } from '../../config.ts';
import { registerBreakers } from '../breakers.ts';
import { registerCheck } from '../check.ts';
import { registerDecide } from '../decide.ts';
import { registerDev } from '../dev.ts';
import { registerDoctor } from '../doctor.ts';
import { registerExplain } from '../explain.ts';
import { registerHelp } from '../help.ts';
import { registerInit } from '../init.ts';
import { registerLastNight } from '../last-night.ts';
import { registerLetters } from '../letters.ts';
import { registerLogs } from '../logs.ts';
import { registerNew } from '../new.ts';
import { registerPipelines } from '../pipelines.ts';
import { registerRuns } from '../runs.ts';
import { registerShow } from '../show.ts';
import { registerStack } from '../stack.ts';
import { registerStart } from '../start.ts';
import { registerUpstreams } from '../upstreams.ts';
import { type Exit, exitCodes, exitOf } from './exit-codes.ts';
import { type Session, type Surroundings, withSession } from './session.ts';

/** Makes a commander action of a function that gets a session first. */
export type Act = <A extends unknown[]>(
  work: (session: Session, ...args: A) => Promise<Exit>,
) => (...args: A) => Promise<void>;
export type Register = (program: Command, act: Act) => void;

/** As `mendflow help` shows them. */
const groups: readonly (readonly [string, readonly Register[]])[] = [
  ['Runs:', [registerStart, registerRuns, registerShow, registerLogs, registerLetters, registerLastNight]],
  ['Decisions:', [registerDecide]],
  ['Upstreams:', [registerUpstreams, registerBreakers]],
  ['Pipelines:', [registerPipelines, registerExplain]],
  ['Project:', [registerInit, registerNew, registerDev, registerCheck]],
  ['Stack:', [registerStack, registerDoctor]],
  ['Help:', [registerHelp]],
];

/** Runs one command line (without program and script). Returns the number to end with. */
export async function runCommandLine(argv: readonly string[], at: Surroundings): Promise<number> {
  let exit: Exit = 'ok';
  const act: Act =
    (work) =>
    async (...args) => {
      exit = await withSession(at, (session) => work(session, ...args));
    };
  const program = new Command('mendflow')
    .description('Data pipelines that heal themselves, on Temporal.')
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ writeOut: (text) => void at.out.write(text), writeErr: (text) => void at.err.write(text) })
    .version(version(), '-V, --version', 'print the version')
    .showHelpAfterError('Nothing was changed. See `mendflow help`, or --help after the command.')
    .addHelpText(
      'after',
      '\nBegin with `mendflow stack up`, then `mendflow pipelines`. Exit codes: `mendflow help exit-codes`.',
    )
    .exitOverride();
  for (const [group, registers] of groups) {
    program.commandsGroup(group);
    for (const register of registers) register(program, act);
  }
  if (argv.length === 0) {
    program.outputHelp();
    return exitCodes.ok.number;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCodes[exit].number;
  } catch (error) {
    return tell(error, at);
  }
}

const version = (): string =>
  (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

function tell(error: unknown, at: Surroundings): number {
  // Commander has told it already; help and version end it with 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage.number;
  const said = error instanceof Error ? error.message : String(error);
  at.err.write(`${said}\n`);
  if (wantsStack() && error instanceof Error)
    at.err.write(`${error.stack ?? ''}\n${error.cause instanceof Error ? (error.cause.stack ?? '') : ''}\n`);
  return exitCodes[exitOf(error)].number;
}

/** The configuration itself may be what is wrong. */
function wantsStack(): boolean {
  try {
    return readConfig().logLevel === 'debug';
  } catch {
    return false;
  }
}
