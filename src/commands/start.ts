// What lives here: `mendflow start`.
// Invariant: it says what it did with the run before it waits for it; its exit code is how the run stands.
// Apart as every command: arguments, one call, output.
import { defaultDataDate, hasBegun, isComplete, readDataDate } from '../model/data-date.ts';
import { queues } from '../model/ids.ts';
import type { AnySpec } from '../model/spec.ts';
import { shellWord, startCommand } from '../model/shell.ts';
import { findRun, parksOf } from '../store/reads.ts';
import { listStalled } from '../store/stalled.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import { readInputs } from './support/inputs.ts';
import type { Attached, Launched } from './support/launch.ts';
import { lettersCommand } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import {
  balanceLine,
  doneAlready,
  correctionLine,
  effectsLine,
  lossLine,
  type Question,
  questionsOf,
  reportOf,
  type RunReport,
  waitLine,
  wouldGiveUp,
} from './support/report.ts';
import type { Session } from './support/session.ts';
import { counted, escaped } from './support/terminal.ts';
import type { Ended } from './support/wait.ts';

interface Options {
  readonly date?: string;
  readonly set: readonly string[];
  readonly force?: boolean;
  readonly wait?: boolean;
  readonly json?: boolean;
}

export const registerStart: Register = (program, act) => {
  program
    .command('start')
    .summary('start a run, or attach to it if it is under way')
    .description(
      'Starts the run of a pipeline for a data date. The same run is never started twice: if it is under way, this attaches to it; if it is done, this says so.',
    )
    .argument('<pipeline>', 'name of the pipeline; see `mendflow pipelines`')
    .option('--date <date>', 'data date; default: the last complete period. One in the future is taken, with a warning')
    .option('--set <name=value...>', 'an input of the pipeline', (pair: string, all: string[]) => [...all, pair], [])
    .option('--force', 'process the run again although it is done, as a new generation')
    .option('--wait', 'tell what happens, until the run is done, failed, aborted or asks')
    .option('--json', 'print JSON; with --wait the summary of the run')
    .action(act((session, pipeline: string, options: Options) => start(session, pipeline, options)));
};

async function start(session: Session, name: string, options: Options): Promise<Exit> {
  const spec = await session.spec(name);
  const input = readInputs(spec, options.set);
  const dataDate = dateOf(spec, options.date);
  const connected = await session.connected();
  const { launch } = await import('./support/launch.ts');
  const launched = await launch(connected, {
    spec,
    dataDate,
    input,
    force: options.force === true,
    prefix: session.config.prefix,
  });
  const ui = await session.link(launched.workflowId);
  const { terminal } = session;
  if (launched.how === 'started' && !hasBegun(spec, dataDate, Date.now()))
    terminal.note(
      `Warning: data date ${dataDate} lies in the future. The run reads what is there now and files it under that date, and its real day will find the run done. If that is a slip: mendflow abort ${shellWord(launched.run)} --reason "wrong date"`,
    );
  if (options.json !== true) await tell(session, spec, dataDate, launched, options, ui);
  if (launched.how === 'already-done') {
    if (options.json === true) terminal.json(await reportOf(connected.control, launched.row, 'already-done', { ui }));
    return 'ok';
  }
  if (options.wait !== true) {
    const { run, workflowId, how } = launched;
    if (options.json === true) {
      const asks = how === 'attached' ? await questionsOf(connected.control, run, spec) : [];
      terminal.json({
        run,
        how,
        workflowId,
        dataDate,
        links: ui === undefined ? {} : { ui },
        ...(asks.length > 0 ? { asks } : {}),
      });
    }
    return 'ok';
  }
  const store = connected.control;
  const { run, handle, startedAt } = launched;
  const { waitForRun } = await import('./support/wait.ts');
  const ended = await waitForRun({
    run,
    handle,
    startedAt,
    store,
    terminal: options.json === true ? undefined : terminal,
    signal: session.signal,
    stackDir: session.config.temporal === undefined ? session.config.dir : undefined,
  });
  const row = (await findRun(store, run)) ?? { run, generation: 1 };
  const asks = ended.state === 'asking' ? { asks: await questionsOf(store, run, spec) } : {};
  const report = await reportOf(store, row, ended.state, { ui, ...asks });
  if (options.json === true) terminal.json(report);
  else tellEnd(session, report, ended);
  return exits[ended.state];
}

const exits: Record<Ended['state'], Exit> = {
  done: 'ok',
  degraded: 'ok',
  'already-done': 'ok',
  failed: 'failed',
  aborted: 'aborted',
  asking: 'asks',
};

function dateOf(spec: AnySpec, written: string | undefined): string {
  if (written === undefined) return defaultDataDate(spec, Date.now());
  const read = readDataDate(spec, written);
  if ('date' in read) return read.date;
  throw new CommandError('usage', `${read.fault} Nothing was started.`);
}

async function tell(
  session: Session,
  spec: AnySpec,
  dataDate: string,
  launched: Launched,
  options: Options,
  ui: string | undefined,
): Promise<void> {
  const { terminal } = session;
  const run = terminal.style('bold', launched.run);
  if (launched.how === 'already-done') {
    const given = Object.fromEntries(options.set.map((pair) => pair.split(/=(.*)/s, 2)));
    const totals = await reportOf((await session.connected()).control, launched.row, 'done');
    terminal.line(
      `${run} is ${doneAlready(launched.row)}: ${counted(totals.loaded)} loaded, ${counted(totals.quarantined)} quarantined (generation ${launched.row.generation}). Nothing was changed. --force processes it again:`,
    );
    terminal.line(
      `  ${startCommand({ pipeline: spec.name, dataDate, input: given }, '--force', ...(options.wait === true ? ['--wait'] : []))}`,
    );
    return;
  }
  terminal.line(
    launched.how === 'started' ? `Started ${run}.` : `${run} is under way with the same inputs; attached to it.`,
  );
  if (launched.how === 'attached' && options.force === true)
    terminal.line('--force was not applied, because the run is not done yet.');
  if (!isComplete(spec, dataDate, Date.now()) && hasBegun(spec, dataDate, Date.now()))
    terminal.note(`Data date ${dataDate} is not over yet; the run covers what is there now.`);
  if (ui !== undefined) terminal.line(`  watch   ${ui}`);
  if (options.wait !== true) {
    terminal.line(`  follow  mendflow show ${shellWord(launched.run)}`);
    if (launched.how === 'attached') await tellStanding(session, spec, launched);
  }
  await warnWithoutWorker(session);
}

/** Whoever only starts it would not hear that it waits, and for whom. */
async function tellStanding(session: Session, spec: AnySpec, { run, workflowId, paused }: Attached): Promise<void> {
  const { terminal } = session;
  const { control } = await session.connected();
  if (paused)
    terminal.note(
      `It is paused, so nothing happens until somebody unpauses it: in the Web UI, or \`temporal workflow unpause --workflow-id ${shellWord(workflowId)}\`.`,
    );
  const [stalled] = await listStalled(control, 1, run);
  if (stalled) terminal.note(`It is stalled: ${escaped(stalled.text)} ${escaped(stalled.mend)}`);
  const parks = await parksOf(control, run);
  const waiting = parks.filter(({ until }) => until !== 'decision');
  for (const park of waiting.slice(0, WAITS_SHOWN_MAX))
    terminal.line(`  ${escaped(park.stage)} ${waitLine(park, Date.now())}`);
  const questions = await questionsOf(control, run, spec);
  if (questions.length > 0)
    terminal.line(`${terminal.style('yellow', 'It asks')}, and waits for one of these commands:`);
  tellQuestions(terminal, questions.slice(0, WAITS_SHOWN_MAX));
}

const WAITS_SHOWN_MAX = 5;

/** Nothing fails without a worker, and nothing happens: the one case in which waiting alone would be silence. */
async function warnWithoutWorker(session: Session): Promise<void> {
  const { connection, places } = await session.connected();
  const { goneWorkers, pollersOf, WORKFLOW } = await import('./support/checks.ts');
  const taskQueue = queues(session.config.prefix).work;
  const polled = { connection, namespace: places.temporal.namespace, gone: goneWorkers(session.config) };
  const pollers = await pollersOf(polled, taskQueue, WORKFLOW).catch(() => undefined);
  if (pollers?.length !== 0) return;
  const [{ underWay }, { workerBy }] = await Promise.all([
    import('../stack/index.ts'),
    import('./support/accepted.ts'),
  ]);
  const { dir } = session.config;
  session.terminal.note(
    `No worker polls the queue "${taskQueue}"${underWay(dir) === undefined ? '' : ' yet'}, so the run waits until one does. ${workerBy(dir)}`,
  );
}

function tellEnd({ terminal }: Session, report: RunReport, ended: Ended): void {
  const run = terminal.style('bold', report.run);
  const words = {
    done: terminal.style('green', 'is done'),
    degraded: terminal.style('yellow', 'is done, degraded'),
    'already-done': 'was done already; nothing was changed',
    failed: terminal.style('red', 'failed'),
    aborted: terminal.style('yellow', 'was aborted'),
    asking: terminal.style('yellow', 'asks'),
  } as const;
  terminal.line(`${run} ${words[ended.state]}${ended.text === undefined ? '.' : `: ${escaped(ended.text)}`}`);
  terminal.line(`  ${balanceLine(report)}`);
  if (report.lost) terminal.line(`  ${lossLine(report.lost)}`);
  for (const note of report.notes) terminal.line(`  note     ${escaped(note)}`);
  if (report.quarantined > 0)
    terminal.line(`  letters  ${lettersCommand(`--run ${shellWord(report.run)}`, report.quarantined)}`);
  tellQuestions(terminal, report.asks ?? []);
}

function tellQuestions(terminal: Session['terminal'], questions: readonly Question[]): void {
  for (const question of questions) {
    terminal.line();
    terminal.line(`${terminal.style('bold', escaped(question.stage))}: ${escaped(question.text)} (${question.code})`);
    if (correctionLine(question.code) !== '') terminal.line(`  ${correctionLine(question.code)}`);
    for (const command of question.commands) terminal.line(`  ${command}`);
    if (question.unread !== undefined) terminal.line(`  ${wouldGiveUp(question.unread, question.commands)}`);
  }
  if (questions.length > 0) terminal.line(`\n${effectsLine(questions.flatMap(({ commands }) => commands))}`);
}
