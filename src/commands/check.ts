// What lives here: `mendflow check`: whether this folder could be deployed now.
// Invariant: every part is looked at, whatever another found; what could not be looked at is said, never passed over.
// Apart as every command: arguments, one call, output.
import type { Pool } from 'pg';
import { queues, runOf } from '../model/ids.ts';
import { type AnySpec, isGoneFrom } from '../model/spec.ts';
import { parksAfter } from '../store/parks.ts';
import { CodedError } from '../model/failure.ts';
import type { Part } from './support/check-parts.ts';
import { type Exit, exitOf } from './support/exit-codes.ts';
import { readWhole } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';

interface Options {
  readonly json?: boolean;
  readonly allow: readonly string[];
  readonly runsMax: string;
  readonly histories: boolean;
}

const RUNS_MAX = '200';

export const registerCheck: Register = (program, act) => {
  program
    .command('check')
    .summary('whether this folder could be deployed now')
    .description(
      'Checks specs, stages, the workflow bundle, types, and replays the runs under way on the cluster with the code of this folder. Changes nothing.',
    )
    .option('--json', 'what was found, as JSON')
    .option(
      '--allow <package>',
      'permit a package in the workflow bundle (repeatable)',
      (one, all: string[]) => [...all, one],
      [],
    )
    .option('--runs-max <number>', 'how many runs under way to replay', RUNS_MAX)
    .option('--no-histories', 'do not look at the cluster')
    .action(
      act(async (session, options: Options) => {
        const parts = await checkAll(session, options, readWhole('--runs-max', options.runsMax, [0, 100_000]));
        const ok = parts.every(({ state }) => state !== 'fault');
        if (options.json) session.terminal.json({ ok, parts });
        else
          for (const line of linesOf(parts, (state) => session.terminal.style(styles[state], marks[state])))
            session.terminal.line(line);
        return ok ? 'ok' : 'faults';
      }),
    );
};

async function checkAll(session: Session, options: Options, runsMax: number): Promise<Part[]> {
  const { checkBundle, checkSpecs, checkStages, checkTypes, messageOf, part, skipped } =
    await import('./support/check-parts.ts');
  const types = checkTypes(session.cwd);
  let loaded: Awaited<ReturnType<Session['project']>>;
  try {
    loaded = await session.project();
  } catch (error) {
    return [part('project', 'The project cannot be read.', [messageOf(error)]), await types];
  }
  const { project, registry } = loaded;
  const { specs } = registry;
  const bundle = await checkBundle(project.workflows, options.allow);
  const histories = options.histories
    ? await historiesOf(session, bundle.code, runsMax)
    : skipped('histories', 'Runs under way were not looked at, as asked.');
  return [checkSpecs(specs, project.upstreams ?? {}), checkStages(project, specs), bundle.part, await types, histories];
}

async function historiesOf(session: Session, code: string | undefined, runsMax: number): Promise<Part> {
  const { messageOf, skipped } = await import('./support/check-parts.ts');
  if (code === undefined) return skipped('histories', 'Without a bundle no run can be replayed.');
  const { project, registry } = await session.project();
  let connected: Awaited<ReturnType<Session['connected']>>;
  try {
    connected = await session.connected();
  } catch (error) {
    const exit: Exit = exitOf(error);
    if (error instanceof CodedError && (exit === 'unreachable' || exit === 'usage'))
      return skipped('histories', `No cluster was reached, so runs under way were not replayed. ${messageOf(error)}`);
    throw error;
  }
  const { checkHistories } = await import('./support/replay.ts');
  const replayed = await checkHistories({
    client: connected.client,
    quiet: true,
    taskQueue: queues(session.config.prefix).work,
    code,
    pipelines: registry.specs.map((spec) => spec.name),
    runsMax,
    dataConverter: project.dataConverter,
  });
  const said = await goneStages(connected.control, session.config.prefix, registry.specs).catch((error: unknown) => [
    `Which runs are parked in stages that this folder does not have could not be read: ${messageOf(error)}`,
  ]);
  return { ...replayed, says: [replayed.says, ...said].join('\n') };
}

const PARKS_LOOKED_AT_MAX = 1_000;

/** What becomes of runs that wait in a stage which this folder does not have: no fault, but nobody should learn it afterwards. */
async function goneStages(store: Pool, prefix: string, specs: readonly AnySpec[]): Promise<string[]> {
  const parks = await parksAfter(store, undefined, PARKS_LOOKED_AT_MAX);
  return parks.flatMap(({ workflowId, stage }) => {
    const run = runOf(prefix, workflowId);
    const spec = specs.find(({ name }) => name === run.split('/')[0]);
    return spec && isGoneFrom(spec, stage)
      ? [
          `Run ${run} is parked in ${stage}, a stage that this folder does not have: deployed now, it goes on without it; finished stages stay finished, and stages that are new are called.`,
        ]
      : [];
  });
}

const marks = { ok: '✔', fault: '✖', skipped: '–' } as const;
const styles = { ok: 'green', fault: 'red', skipped: 'yellow' } as const;

/** Faults of one part that are shown; all of them are counted. */
const SHOWN_MAX = 20;

/** What is told of the parts, each fault once however many lines it has. */
export function linesOf(
  parts: readonly Part[],
  mark: (state: Part['state']) => string = (state) => marks[state],
): string[] {
  const lines = parts.flatMap((one) => [
    `${mark(one.state)} ${one.part.padEnd(9)} ${one.says.replaceAll('\n', '\n    ')}`,
    ...one.faults.slice(0, SHOWN_MAX).flatMap((fault) => fault.split('\n').map((line) => `    ${line}`)),
    ...(one.faults.length > SHOWN_MAX ? [`    and ${one.faults.length - SHOWN_MAX} more; --json has all`] : []),
  ]);
  const faults = parts.reduce((sum, one) => sum + one.faults.length, 0);
  const left = parts.filter(({ state }) => state === 'skipped').length;
  const unseen = left > 0 ? ` ${left} of ${parts.length} parts could not be looked at.` : '';
  return [
    ...lines,
    faults === 0 ? `Nothing wrong was found.${unseen}` : `${faults} ${faults === 1 ? 'fault' : 'faults'}.${unseen}`,
  ];
}
