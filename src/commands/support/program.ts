// What lives here: the command line as one value: all commands, how their errors are told, and with which number it ends.
// Invariant: no stack trace reaches a person who did not ask for it; a wrong word on the command line ends with the number for usage.
// Apart from the entry so that tests run commands without a process of their own.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { readConfig } from '../../config.ts';
import { asCalled } from '../../model/shell.ts';
import { type Exit, exitCodes, exitOf } from './exit-codes.ts';
import { describeAll } from './manual.ts';
import { type Session, type Surroundings, withSession } from './session.ts';

/** Makes a commander action of a function that gets a session first. */
export type Act = <A extends unknown[]>(
  work: (session: Session, ...args: A) => Promise<Exit>,
) => (...args: A) => Promise<void>;
export type Register = (program: Command, act: Act) => void;

/** Words that a file of commands answers to, and how to load it. */
type Part = readonly [words: readonly string[], load: () => Promise<Register>];

/** As `mendflow help` shows them. A command line loads only the file that answers to its first word. */
const groups: readonly (readonly [string, readonly Part[]])[] = [
  [
    'Runs:',
    [
      [['start'], async () => (await import('../start.ts')).registerStart],
      [['runs'], async () => (await import('../runs.ts')).registerRuns],
      [['show'], async () => (await import('../show.ts')).registerShow],
      [['logs'], async () => (await import('../logs.ts')).registerLogs],
      [['letters'], async () => (await import('../letters.ts')).registerLetters],
      [['views'], async () => (await import('../views.ts')).registerViews],
      [['last-night'], async () => (await import('../last-night.ts')).registerLastNight],
    ],
  ],
  [
    'Decisions:',
    [
      [
        ['retry', 'skip', 'extend-budget', 'accept-loss', 'abort'],
        async () => (await import('../decide.ts')).registerDecide,
      ],
    ],
  ],
  [
    'Upstreams:',
    [
      [['upstreams'], async () => (await import('../upstreams.ts')).registerUpstreams],
      [['breakers'], async () => (await import('../breakers.ts')).registerBreakers],
    ],
  ],
  [
    'Pipelines:',
    [
      [['pipelines'], async () => (await import('../pipelines.ts')).registerPipelines],
      [['explain'], async () => (await import('../explain.ts')).registerExplain],
    ],
  ],
  [
    'Project:',
    [
      [['init'], async () => (await import('../init.ts')).registerInit],
      [['new'], async () => (await import('../new.ts')).registerNew],
      [['dev'], async () => (await import('../dev.ts')).registerDev],
      [['check'], async () => (await import('../check.ts')).registerCheck],
    ],
  ],
  [
    'Stack:',
    [
      [['stack', 'migrate'], async () => (await import('../stack.ts')).registerStack],
      [['doctor'], async () => (await import('../doctor.ts')).registerDoctor],
    ],
  ],
  ['Help:', [[['help'], async () => (await import('../help.ts')).registerHelp]]],
];

/** All commands, unless the first word names one: then those of its file. */
async function registerInto(program: Command, act: Act, word: string | undefined): Promise<void> {
  const named = groups.flatMap(([, parts]) => parts).filter(([words]) => word !== 'help' && words.includes(word ?? ''));
  for (const [group, parts] of groups) {
    program.commandsGroup(group);
    for (const part of named.length > 0 ? parts.filter((one) => named.includes(one)) : parts)
      (await part[1]())(program, act);
  }
}

/** Runs one command line (without program and script). Returns the number to end with. */
export async function runCommandLine(argv: readonly string[], at: Surroundings): Promise<number> {
  let exit: Exit = 'ok';
  const called = at.called ?? 'mendflow';
  const act: Act =
    (work) =>
    async (...args) => {
      exit = await withSession(at, (session) => work(session, ...args));
    };
  const program = new Command('mendflow')
    .description('Data pipelines that heal themselves, on Temporal.')
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => void at.out.write(asCalled(called, text)),
      writeErr: (text) => void at.err.write(asCalled(called, text)),
    })
    .version(version(), '-V, --version', 'print the version')
    .showHelpAfterError('Nothing was changed. See `mendflow help`, or --help after the command.')
    .addHelpText(
      'after',
      '\nBegin with `mendflow stack up`, then `mendflow pipelines`. Exit codes: `mendflow help exit-codes`.',
    )
    .exitOverride();
  await registerInto(program, act, argv[0]);
  describeAll(program);
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
  at.err.write(`${asCalled(at.called ?? 'mendflow', said)}\n`);
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
