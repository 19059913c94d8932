// What lives here: one decision for every stage that a filter means.
// Invariant: nothing is sent before a person has said yes (or --yes); each stage gets its own answer, and none is left out of the closing table.
// Apart from the single decision because here the danger is the number.
import { createInterface } from 'node:readline/promises';
import type { Pool } from 'pg';
import { isCode } from '../../model/failure.ts';
import type { Decision, DecisionKind } from '../../model/messages.ts';
import { listBreakers } from '../../store/breakers.ts';
import { listRuns, unreadOf } from '../../store/reads.ts';
import { type Wait, waitsByUpstream, type WaitFilter, waitsLike } from '../../store/waits.ts';
import { sendDecision } from './decision.ts';
import { CommandError, type Exit } from './exit-codes.ts';
import { declaredUpstreams, upstreamKeyOf } from './find-upstream.ts';
import type { Session } from './session.ts';
import { wouldGiveUp } from './report.ts';
import { readSince } from './since.ts';
import { counted, escaped, moment } from './terminal.ts';

export interface FilterOptions {
  readonly pipeline?: string;
  readonly code?: string;
  readonly class?: string;
  readonly upstream?: string;
  readonly since?: string;
  readonly alsoParked?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const classes = ['transient', 'delayed', 'throttled', 'permanent', 'data', 'unknown'];
/** More than this is decided in several goes. */
const WAITS_MAX = 10_000;
const AT_ONCE_MAX = 8;
const SHOWN_MAX = 20;

type Answered = 'taken' | 'refused' | 'not confirmed' | 'failed' | 'not sent';
interface Answer {
  readonly run: string;
  readonly stage: string;
  readonly answer: Answered;
  readonly text: string;
}

/** Lists what the filter means, asks, sends, and tells every answer. */
export async function decideAll(session: Session, decision: Decision, options: FilterOptions): Promise<Exit> {
  const { terminal } = session;
  const meant = await targetsOf(await session.store(), decision.kind, await filterOf(session, options));
  if (meant.length === 0 || options.dryRun === true) {
    if (options.json === true) terminal.json({ kind: decision.kind, dryRun: options.dryRun === true, matches: meant });
    else if (meant.length === 0)
      terminal.note(
        `No stage fits that ${options.alsoParked === true ? 'waits' : 'asks'}. Nothing was decided. See \`mendflow runs --state asking\`.`,
      );
    else await list(session, decision.kind, meant);
    if (meant.length > 0 && options.json !== true) terminal.note('Dry run: nothing was decided.');
    return 'ok';
  }
  if (options.json !== true) await list(session, decision.kind, meant);
  if (options.yes !== true) await confirmed(session, decision.kind, meant.length);
  const answers = await sendAll(session, decision, meant);
  if (options.json === true) terminal.json({ kind: decision.kind, dryRun: false, answers });
  else tell(session, answers);
  return exitOf(answers, session.signal.aborted);
}

/** Throws `usage` or `notFound` for a word that names nothing: taken in silence, it would look as if nobody asked. */
async function filterOf(session: Session, options: FilterOptions): Promise<WaitFilter> {
  const faults: string[] = [];
  if (options.code !== undefined && !isCode(options.code)) faults.push(`There is no code "${options.code}".`);
  if (options.class !== undefined && !classes.includes(options.class))
    faults.push(`There is no class "${options.class}"; there is ${classes.join(', ')}.`);
  if (faults.length > 0)
    throw new CommandError(
      'usage',
      `${faults.join('\n')}\nNothing was decided. See what there is to decide with \`mendflow runs --state asking\`.`,
    );
  const { pipeline, code } = options;
  const since = options.since === undefined ? undefined : readSince(options.since);
  const upstream = options.upstream === undefined ? undefined : await upstreamOf(session, options.upstream);
  if (pipeline !== undefined) await makeSureOfPipeline(session, pipeline);
  return {
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(code === undefined ? {} : { code }),
    ...(options.class === undefined ? {} : { class: options.class }),
    ...(upstream === undefined ? {} : { upstream }),
    ...(since === undefined ? {} : { since }),
    alsoParked: options.alsoParked === true,
    limit: WAITS_MAX,
  };
}

async function upstreamOf(session: Session, written: string): Promise<string> {
  const store = await session.store();
  const [rows, waits, declared] = await Promise.all([
    listBreakers(store),
    waitsByUpstream(store),
    declaredUpstreams(session),
  ]);
  return upstreamKeyOf(written, [...rows.map(({ key }) => key), ...waits.keys(), ...Object.keys(declared)]);
}

/** Runs of a pipeline that is another project's, or no more in this one, may wait all the same. */
async function makeSureOfPipeline(session: Session, name: string): Promise<void> {
  const [known] = await listRuns(await session.store(), { pipeline: name, limit: 1 });
  if (known === undefined) await session.spec(name);
}

/** An abort is for a run, however many of its stages wait. */
async function targetsOf(store: Pool, kind: DecisionKind, filter: WaitFilter): Promise<Wait[]> {
  const waits = await waitsLike(store, filter);
  if (kind !== 'abort') return waits;
  const seen = new Set<string>();
  return waits.filter(({ run }) => !seen.has(run) && seen.add(run));
}

async function list(session: Session, kind: DecisionKind, meant: readonly Wait[]): Promise<void> {
  const { terminal } = session;
  // Only of what is given up knowingly: a person has to see how much before the yes.
  const unread =
    kind === 'accept-loss' || kind === 'skip'
      ? await unreadOf(
          await session.store(),
          meant.map(({ run }) => run),
        )
      : undefined;
  const bytesOf = ({ run, stage }: Wait): number => unread?.get(run)?.get(stage) ?? 0;
  terminal.table(
    ['RUN', 'STAGE', 'WAITS', 'CODE', 'UPSTREAM', 'SINCE', ...(unread ? ['BYTES UNREAD'] : [])],
    meant
      .slice(0, SHOWN_MAX)
      .map((one) => [
        escaped(one.run),
        escaped(one.stage),
        one.until === 'decision' ? 'asks' : `until ${one.until}`,
        escaped(one.code),
        escaped(one.upstream ?? ''),
        moment(one.since),
        ...(unread ? [counted(bytesOf(one))] : []),
      ]),
  );
  if (meant.length > SHOWN_MAX)
    terminal.note(`and ${counted(meant.length - SHOWN_MAX)} more; --json with --dry-run lists them all.`);
  const bytes = meant.reduce((sum, one) => sum + bytesOf(one), 0);
  if (bytes > 0) terminal.note(wouldGiveUp(bytes, [`mendflow ${kind} `]));
}

/** Throws unless a person says yes. Without a terminal nobody can. */
async function confirmed({ terminal, input, signal }: Session, kind: DecisionKind, count: number): Promise<void> {
  const what = `${kind} for ${count === 1 ? 'this one' : `these ${counted(count)}`}`;
  if (!terminal.live || input.isTTY !== true)
    throw new CommandError(
      'usage',
      `Would ${what}. Nothing was decided: there is nobody here to confirm it. Repeat the command with --yes.`,
    );
  const lines = createInterface({ input, output: process.stderr, terminal: false });
  try {
    terminal.note(`${what[0]!.toUpperCase()}${what.slice(1)}? [y/N]`);
    // The end of the input is a no as well.
    const said = await Promise.race([
      lines.question('', { signal }),
      new Promise<string>((resolve) => lines.once('close', () => resolve(''))),
    ]).catch(() => '');
    if (!/^y(es)?$/i.test(said.trim())) throw new CommandError('interrupted', 'Nothing was decided.');
  } finally {
    lines.close();
  }
}

async function sendAll(session: Session, decision: Decision, meant: readonly Wait[]): Promise<Answer[]> {
  const connected = await session.connected();
  const answers: Answer[] = [];
  const left = [...meant.entries()];
  const send = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [index, { run, stage, token, workflowId }] = next;
      const of = { run, stage };
      if (session.signal.aborted) {
        answers[index] = { ...of, answer: 'not sent', text: 'Ended by Ctrl-C before it was sent.' };
        continue;
      }
      const target = decision.kind === 'abort' ? {} : { stage, token };
      answers[index] = await sendDecision(connected, {
        run,
        workflowId,
        decision: { ...decision, ...target },
        signal: session.signal,
      }).then(
        ({ taken, text }): Answer => ({ ...of, answer: taken ? 'taken' : 'refused', text }),
        (error: unknown): Answer => ({
          ...of,
          answer: answerOf(error),
          text: error instanceof Error ? error.message : String(error),
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE_MAX }, send));
  return answers;
}

/** One that is gone meanwhile is refused like one that was decided meanwhile. */
const answerOf = (error: unknown): Answered => {
  const exit = error instanceof CommandError ? error.exit : 'failed';
  return exit === 'unconfirmed' ? 'not confirmed' : exit === 'refused' || exit === 'notFound' ? 'refused' : 'failed';
};

function tell({ terminal }: Session, answers: readonly Answer[]): void {
  const count = (answer: Answered): number => answers.filter((one) => one.answer === answer).length;
  const others = answers.filter(({ answer }) => answer !== 'taken');
  if (others.length > 0)
    terminal.table(
      ['RUN', 'STAGE', 'ANSWER', 'WHY'],
      others.map((one) => [escaped(one.run), escaped(one.stage), one.answer, escaped(one.text)]),
    );
  const more = (['failed', 'not sent'] as const).flatMap((one) =>
    count(one) > 0 ? [`, ${one} ${counted(count(one))}`] : [],
  );
  terminal.line(
    `${terminal.style('green', 'Taken')} ${counted(count('taken'))}, refused ${counted(count('refused'))}, not confirmed ${counted(count('not confirmed'))}${more.join('')}.`,
  );
  if (count('not confirmed') > 0)
    terminal.note(
      'What is not confirmed may still be applied when a worker is back. Repeat the same command to learn the outcome.',
    );
}

/** The worst answer counts. */
function exitOf(answers: readonly Answer[], interrupted: boolean): Exit {
  const some = (answer: Answered): boolean => answers.some((one) => one.answer === answer);
  if (interrupted || some('not sent')) return 'interrupted';
  if (some('failed')) return 'failed';
  if (some('not confirmed')) return 'unconfirmed';
  return some('refused') ? 'refused' : 'ok';
}
