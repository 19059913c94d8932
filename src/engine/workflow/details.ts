// What lives here: how a run shows itself in the Temporal Web UI: current details and search attributes.
// Invariant: no record values; the details say who, what, since when, what happens next by itself and which command a person can type.
// Apart because it is a report for people, not a decision.
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { spent } from '../../model/attempts.ts';
import { isCode, rowOf } from '../../model/failure.ts';
import { inWords } from '../../model/duration.ts';
import { type Health, healthOrder, type Park, type StageSummary } from '../../model/messages.ts';
import { offered } from '../../model/verdict.ts';
import { inPackage, runbookNamed } from '../../model/runbook.ts';
import { asCalled, shellWord } from '../../model/shell.ts';
import { waitingIn } from './admission.ts';
import type { RunState } from './run-state.ts';

const healthKey = defineSearchAttributeKey('PipelineHealth', SearchAttributeType.KEYWORD);
const classKey = defineSearchAttributeKey('FailureClass', SearchAttributeType.KEYWORD);
const upstreamKey = defineSearchAttributeKey('Upstream', SearchAttributeType.KEYWORD_LIST);
const lettersKey = defineSearchAttributeKey('DeadLetters', SearchAttributeType.INT);

/** The worst over all stages of the run. */
export function healthOf(run: RunState): Health {
  if (run.aborted) return 'aborted';
  const all: Health[] = [run.lossAccepted || run.closed === 'degraded' ? 'degraded' : 'healthy'];
  for (const park of Object.values(run.parks)) all.push(park.until === 'decision' ? 'asking' : 'parked');
  if (run.trouble.size > 0) all.push('retrying');
  return all.reduce((worst, one) => (healthOrder.indexOf(one) > healthOrder.indexOf(worst) ? one : worst));
}

/** Shows the state as it is now; search attributes only where one changed, since each change is an event. */
export function refreshDetails(run: RunState): void {
  writePageSoon(run);
  if (!run.ledger) return;
  const parks = Object.values(run.parks);
  const worst = parks.find((park) => park.until === 'decision') ?? parks[0];
  const now: Record<string, string> = {
    health: healthOf(run),
    class: worst?.failure.class ?? '',
    upstream: [...new Set(parks.flatMap((park) => park.upstream ?? park.failure.upstream ?? []))].sort().join(','),
  };
  const shown = workflowInfo().typedSearchAttributes;
  const pairs = [];
  if (shown.get(healthKey) !== now['health']) pairs.push({ key: healthKey, value: now['health']! });
  if ((shown.get(classKey) ?? '') !== now['class'])
    pairs.push({ key: classKey, value: now['class'] === '' ? null : now['class']! });
  if ((shown.get(upstreamKey) ?? []).join(',') !== now['upstream'])
    pairs.push({ key: upstreamKey, value: now['upstream'] === '' ? null : now['upstream']!.split(',') });
  if (pairs.length > 0) upsertSearchAttributes(pairs);
}

/** A task in which many stages change would otherwise write the page once for each. */
function writePageSoon(run: RunState): void {
  if (run.pageIsDue) return;
  run.pageIsDue = true;
  void Promise.resolve().then(() => {
    run.pageIsDue = false;
    setCurrentDetails(pageOf(run));
  });
}

export const showLetters = (run: RunState, open: number): void => {
  if (run.ledger && open > 0) upsertSearchAttributes([{ key: lettersKey, value: open }]);
};

/** `1 attempt`, `3 attempts`. */
export const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

const marks: Record<StageSummary['state'], string> = {
  running: '▶',
  retrying: '↻',
  parked: '⏸',
  asking: '?',
  done: '✔',
  skipped: '↷',
  'loss-accepted': '↷',
  failed: '✖',
  aborted: '✖',
};
/** Of a fan-out the stages that are not finished come first; the rest is a count, because the page has 20 kB. */
const LINES_MAX = 30;
const PARKS_SHOWN_MAX = 10;
/** Temporal keeps 20,000 bytes of them. */
const PAGE_LENGTH_MAX = 18_000;
const isOpen = ({ state }: StageSummary): boolean =>
  state !== 'done' && state !== 'skipped' && state !== 'loss-accepted';

function pageOf(run: RunState): string {
  const { spec } = run;
  const lines = [
    `**${run.key}** is **${healthOf(run)}**. Owner: ${spec.owner}.${spec.runbook === undefined ? '' : ` Runbook: ${runbookNamed(spec.runbook)}.`}`,
    '',
  ];
  // Opening and closing are the run's own; they are worth a line only while something is wrong with them.
  const shown = Object.values(run.summaries).filter(
    ({ stage, state }) => !stage.startsWith('mendflow:') || (state !== 'done' && state !== 'running'),
  );
  const first = shown.length <= LINES_MAX ? shown : [...shown.filter(isOpen), ...shown.filter((one) => !isOpen(one))];
  lines.push(...first.slice(0, LINES_MAX).map((summary) => lineOf(run, summary)));
  const more = shown.length - Math.min(shown.length, LINES_MAX) + run.finishedMore;
  if (more > 0) lines.push(`- and ${more} more stages`);
  const waiting = waitingIn(run.door);
  if (waiting > 0) lines.push(`- ${counted(waiting, 'stage')} not begun yet`);
  for (const [stage, park] of Object.entries(run.parks).slice(0, PARKS_SHOWN_MAX)) {
    lines.push('', `### ${stage} ${park.until === 'decision' ? 'asks' : 'waits'}`, '', exactly(park.failure.text), '');
    lines.push(waitOf(park), '');
    lines.push(...commandsFor(run, stage, park.token));
  }
  if (run.refused.length > 0) lines.push('', 'Refused decisions:', ...run.refused.map((line) => `- ${line}`));
  return lines.join('\n').slice(0, PAGE_LENGTH_MAX);
}

/** The Web UI would make dashes and curly quotes of what stands in a command; in code it leaves them. */
const exactly = (text: string): string =>
  text.includes('mendflow ') ? `\`\` ${asCalled('npx mendflow', text)} \`\`` : text;

/** What happens next by itself, or what a person has to do. */
function waitOf({ until, upstream, wakeAt, since, failure }: Park): string {
  const at = (moment: number): string => new Date(moment).toISOString();
  const { held } = failure;
  const runbook = `Runbook: ${inPackage(rowOf(isCode(held) ? held : failure.code).runbook)}.`;
  if (until === 'time' && wakeAt !== undefined) return `Next try by itself at ${at(wakeAt)}. Nothing has to be done.`;
  const end = wakeAt === undefined ? '' : ` before ${at(wakeAt)}, the deadline of the run; then it asks`;
  if (until === 'upstream' && upstream !== undefined && held !== undefined)
    return `Waits for ${upstream} since ${at(since)}: ${held} holds its breaker, which time does not heal. By itself only another credential is tried: within a minute after a worker reads another value of a secret of this upstream one run tries it, whatever is left of the cooldown; if it is accepted, this run and all others that wait go on. After any other mend let all go on with \`npx mendflow retry --all --upstream ${shellWord(upstream)} --code ${held} --reason "…"\`, or this run alone. Who asks: \`npx mendflow runs --state asking\`.${wakeAt === undefined ? '' : ` At ${at(wakeAt)}, the deadline of the run, it asks as well.`} ${runbook}`;
  if (until === 'upstream')
    return `Waits for ${upstream} since ${at(since)}: its breaker let nobody through then, and wakes this run when it does, or when an operator says so. Nothing has to be done${end}. ${runbook}`;
  return `Waits for a decision since ${at(since)}. ${runbook}`;
}

function lineOf(run: RunState, summary: StageSummary): string {
  const trouble = run.trouble.get(summary.stage);
  const park = run.parks[summary.stage];
  const tail = trouble
    ? `attempt ${trouble.attempt} of ${trouble.attemptsMax} failed with ${trouble.code}; attempt ${trouble.attempt + 1} from ${new Date(trouble.nextTryAt).toISOString()} on, and what is newer under Pending Activities`
    : park
      ? `${spent(park.attempts, park.elapsedMs)}, ${
          park.upstream === undefined ? park.failure.code : `waits for ${park.upstream}`
        }`
      : summary.state === 'running'
        ? 'under way'
        : `${counted(summary.attempts, 'attempt')}, ${inWords(summary.seconds * 1_000)}`;
  return `- ${marks[trouble ? 'retrying' : summary.state]} \`${summary.stage}\` ${tail}`;
}

/** Ready to copy, with the token, so that a late click never meets another question. */
export function commandsFor(run: RunState, stage: string, token: string): string[] {
  const policy = run.spec.stages[stage.split('[')[0]!];
  const park = run.parks[stage];
  const asking = {
    stage,
    code: park?.failure.code ?? 'unknown',
    skips: policy?.onSkip !== undefined,
    acceptsLoss: park?.acceptsLoss === true,
  };
  return offered(asking).map((kind) =>
    kind === 'abort'
      ? `    npx mendflow abort ${shellWord(run.key)} --reason "…"`
      : `    npx mendflow ${kind} ${shellWord(run.key)} ${shellWord(stage)} --token ${token} --reason "…"${kind === 'extend-budget' ? ' --attempts 4' : ''}`,
  );
}

/** Finished stages that are listed by name; of more there is a count. */
const FINISHED_LISTED_MAX = 200;

export function summarise(run: RunState, summary: StageSummary): void {
  const { stage } = summary;
  const few = Object.keys(run.summaries).length <= FINISHED_LISTED_MAX;
  if (few || isOpen(summary) || stage.startsWith('mendflow:')) run.summaries[stage] = summary;
  else {
    delete run.summaries[stage];
    run.finishedMore++;
  }
  refreshDetails(run);
}
