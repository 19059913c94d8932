// What lives here: `mendflow last-night`: what happened while nobody looked, what healed and by what, and what is left for a person.
// Invariant: every figure is counted from the database when it is asked for; what is not over is shown as not over.
// Apart as every command: arguments, one call, output.
import { inWords } from '../model/duration.ts';
import { shellWord } from '../model/shell.ts';
import { stackStatus } from '../stack/index.ts';
import { listBreakers } from '../store/breakers.ts';
import {
  lettersAndDecisions,
  lossesSince,
  movesSince,
  retryRatesSince,
  runStatesSince,
  troubledSince,
  type Waiting,
  waitingNow,
} from '../store/night.ts';
import { stateOf } from './support/breaker-words.ts';
import type { Exit } from './support/exit-codes.ts';
import { episodesOf, figuresOf, healedOf, type Healer, healerOf, outagesOf } from './support/night.ts';
import { noReport } from './support/lost.ts';
import { lettersCommand } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import { lossLine } from './support/report.ts';
import type { Session } from './support/session.ts';
import { readSince } from './support/since.ts';
import { counted, escaped, moment, type Terminal } from './support/terminal.ts';

export const registerLastNight: Register = (program, act) => {
  program
    .command('last-night')
    .summary('what happened while nobody looked: runs, failures healed and by what, outages, what waits')
    .option('--since <time>', 'from then on: "12 hours" (ago), 2026-11-21 or 2026-11-21T20:00:00Z', '12 hours')
    .option('--json', 'print JSON')
    .action(act((session, options: { since: string; json?: boolean }) => lastNight(session, options)));
};

const LINES_MAX = 20;

async function lastNight(session: Session, options: { since: string; json?: boolean }): Promise<Exit> {
  const since = readSince(options.since);
  const page = await pageOf(session, since);
  if (options.json === true) session.terminal.json(page);
  else write(session.terminal, page);
  return 'ok';
}

type Page = Awaited<ReturnType<typeof pageOf>>;

async function pageOf(session: Session, since: Date) {
  const store = await session.store();
  const now = Date.now();
  const [runs, troubled, rates, moves, waits, letters, losses, breakers] = await Promise.all([
    runStatesSince(store, since),
    troubledSince(store, since),
    retryRatesSince(store, since),
    movesSince(store, since),
    waitingNow(store),
    lettersAndDecisions(store, since),
    lossesSince(store, since),
    listBreakers(store),
  ]);
  const episodes = episodesOf(troubled);
  // One that lets a single trial through is not well yet.
  const notAdmitting = breakers
    .filter(({ admit, trial }) => !admit || trial)
    .map((row) => ({ upstream: row.key, says: stateOf(row) }));
  const asking = waits.filter(({ until }) => until === 'decision').reduce((sum, { stages }) => sum + stages, 0);
  return {
    since,
    until: new Date(now),
    // Letters alone keep nobody from working, so they are told and do not count as sick.
    health: asking > 0 || notAdmitting.length > 0 || (runs['failed'] ?? 0) > 0 ? 'degraded' : 'healthy',
    runs,
    decisions: letters.decisions,
    asking,
    losses,
    failures: healedOf(troubled),
    stages: troubled.map((one) => ({
      ...one,
      healedBy: one.endedAt !== null && one.state === 'done' ? healerOf(one) : null,
    })),
    episodes: { ...figuresOf(episodes, now), list: episodes },
    retryRates: rates,
    outages: outagesOf(moves, now),
    notAdmitting,
    waits,
    ...(await endedSince(session, since)),
    letters: { open: letters.open, samples: letters.samples, written: letters.written },
  } as const;
}

/** What of the stack in this folder ended by itself and was started again, and when all of it was gone; the last ones only are remembered. */
async function endedSince({ config }: Session, since: Date) {
  const { keeper, losses } = await stackStatus({ dir: config.dir });
  const restarts = (keeper?.repairs ?? []).map(({ what, at }) => ({ what, at: new Date(at) }));
  const downs = losses.map(({ from, to, processes }) => ({ from: new Date(from), to: new Date(to), processes }));
  return {
    restarts: restarts.filter(({ at }) => at.getTime() >= since.getTime()),
    downs: downs.filter(({ to }) => to.getTime() >= since.getTime()),
  };
}

function write(terminal: Terminal, page: Page): void {
  const bold = (text: string): string => terminal.style('bold', text);
  const { failures, outages, runs, letters } = page;
  const healed = Object.values(failures.by).reduce((sum, one) => sum + one, 0);
  terminal.line(
    `${bold(`Since ${moment(page.since)}`)} (${inWords(page.until.getTime() - page.since.getTime())}): ${page.health === 'healthy' ? terminal.style('green', 'healthy') : terminal.style('yellow', `not healthy now: ${sickOf(page)}`)}`,
  );
  const states = Object.entries(runs).map(([state, count]) => `${counted(count)} ${state}`);
  terminal.line(`  runs      ${states.length === 0 ? 'none' : states.join(', ')}; ${decisionsLine(page)}`);
  terminal.line(
    healed + failures.open + failures.ended === 0
      ? '  failures  none'
      : `  failures  ${failures.attemptsFailed === 0 ? 'no attempt' : numbered(failures.attemptsFailed, 'attempt')} failed${failures.attemptsLost === 0 ? '' : `, ${counted(failures.attemptsLost)} ${noReport(failures.attemptsLost)}`}`,
  );
  if (healed > 0) terminal.line(`  healed    ${numbered(healed, 'stage')}: ${healersLine(failures.by)}`);
  if (failures.ended > 0)
    terminal.line(`  not done  ${numbered(failures.ended, 'stage')} skipped, failed, aborted or with accepted loss`);
  if (page.losses.runs > 0)
    terminal.line(
      `  given up  in ${numbered(page.losses.runs, 'run')} (${lostRuns(page.losses)}), ${lossLine(page.losses)}`,
    );
  if (failures.oldest !== null)
    terminal.line(
      `  not over  ${numbered(failures.open, 'stage')}, the oldest since ${moment(failures.oldest)} (${inWords(page.until.getTime() - failures.oldest.getTime())})`,
    );
  if (failures.meanMs !== null)
    terminal.line(
      `  unasked   ${counted(failures.unasked)} of ${numbered(healed + failures.ended, 'stage')} that ${healed + failures.ended === 1 ? 'is' : 'are'} over needed nobody; the trouble of each lasted ${inWords(failures.meanMs)} on average`,
    );
  if (page.restarts.length > 0) terminal.line(`  restarts  ${restartsLine(page.restarts)}: mendflow stack status`);
  for (const { from, to, processes } of page.downs)
    terminal.line(
      `  down      The stack was down from about ${moment(from)} to ${moment(to)}, until \`stack up\`; ${counted(processes)} process${processes === 1 ? '' : 'es'} had ended.`,
    );
  const samples = letters.samples > 0 ? `, ${counted(letters.samples)} of them samples of a stop` : '';
  terminal.line(
    `  letters   ${counted(letters.written)} written, ${counted(letters.open)} open now${samples}${letters.open > 0 ? `: ${lettersCommand('--state open', letters.open)}` : ''}`,
  );
  writeStages(terminal, page.stages);
  writeOutages(terminal, outages);
  for (const { upstream, says } of page.notAdmitting)
    terminal.line(`  ${escaped(upstream)} is ${says} now: mendflow breakers show ${shellWord(upstream)}`);
  if (page.retryRates.length > 0) {
    terminal.line();
    terminal.table(
      ['STAGE', 'NEEDED A RETRY', 'MOST ATTEMPTS'],
      page.retryRates
        .slice(0, LINES_MAX)
        .map((one) => [
          escaped(`${one.pipeline}/${one.stage}`),
          `${counted(one.retried)} of ${counted(one.stages)} (${Math.round((100 * one.retried) / one.stages)} %)`,
          String(one.attemptsMost),
        ]),
    );
  }
  writeWaits(terminal, page.waits);
}

/** What keeps it from being healthy; of an upstream the line below says how it is. */
function sickOf({ asking, notAdmitting, runs }: Pick<Page, 'asking' | 'notAdmitting' | 'runs'>): string {
  const failed = runs['failed'] ?? 0;
  return [
    ...(asking > 0 ? [`${numbered(asking, 'question')} ${asking === 1 ? 'waits' : 'wait'}`] : []),
    ...(notAdmitting.length > 0 ? [`${numbered(notAdmitting.length, 'upstream')} not back`] : []),
    ...(failed > 0 ? [`${numbered(failed, 'run')} failed`] : []),
  ].join(', ');
}

const numbered = (count: number, noun: string): string => `${counted(count)} ${noun}${count === 1 ? '' : 's'}`;

/** `3 ended by themselves and were started again (worker-1 2 times, Postgres), the last at …` */
function restartsLine(restarts: Page['restarts']): string {
  const times = new Map<string, number>();
  for (const { what } of restarts) times.set(what, (times.get(what) ?? 0) + 1);
  const each = [...times].map(([what, count]) => (count === 1 ? what : `${what} ${counted(count)} times`)).join(', ');
  const says =
    restarts.length === 1 ? '1 ended by itself and was' : `${counted(restarts.length)} ended by themselves and were`;
  return `${says} started again (${each}), the last at ${moment(restarts.at(-1)!.at)}`;
}

function decisionsLine({ decisions, asking }: Pick<Page, 'decisions' | 'asking'>): string {
  const waiting = `${numbered(asking, 'question')} ${asking === 1 ? 'waits' : 'wait'}`;
  if (decisions > 0) return `${numbered(decisions, 'decision')} taken${asking > 0 ? `, ${waiting}` : ''}`;
  return asking > 0 ? `nobody has decided anything, and ${waiting}` : 'nobody had to decide anything';
}

const lostRuns = ({ runs, first }: Page['losses']): string =>
  `${first.map(escaped).join(', ')}${runs > first.length ? ` and ${counted(runs - first.length)} more` : ''}`;

const healers: Readonly<Record<Healer, string>> = {
  retry: 'by trying again',
  breaker: 'when the upstream was back',
  person: 'after a person released the breaker',
  time: 'after a long wait',
  decision: 'after a decision',
};

const healersLine = (by: Page['failures']['by']): string =>
  (Object.keys(healers) as Healer[])
    .filter((healer) => by[healer] > 0)
    .map((healer) => `${counted(by[healer])} ${healers[healer]}`)
    .join(', ');

/** Which runs it was: what is not over first, because that may need somebody. */
function writeStages(terminal: Terminal, stages: Page['stages']): void {
  if (stages.length === 0) return;
  const first = [
    ...stages.filter(({ endedAt }) => endedAt === null),
    ...stages.filter(({ endedAt }) => endedAt !== null),
  ];
  terminal.line();
  terminal.table(
    ['RUN', 'STAGE', 'ATTEMPTS FAILED', 'NO REPORT', 'LAST CODE', 'FROM', 'OVER', 'HOW'],
    first
      .slice(0, LINES_MAX)
      .map((one) => [
        escaped(one.run),
        escaped(one.stage),
        counted(one.failed),
        counted(one.lost),
        escaped(one.code),
        moment(one.firstAt),
        one.endedAt === null ? 'not yet' : moment(one.endedAt),
        one.healedBy === null ? one.state : healers[one.healedBy],
      ]),
  );
  if (first.length > LINES_MAX)
    terminal.line(`  and ${numbered(first.length - LINES_MAX, 'stage')} more; --json has all`);
}

/** What opened a breaker, for who does not know its words. */
const opened: Readonly<Record<string, string>> = {
  threshold: 'too many calls failed',
  hold: 'a fault that time does not heal',
};

function writeOutages(terminal: Terminal, outages: Page['outages']): void {
  if (outages.length === 0) return;
  terminal.line();
  terminal.table(
    ['OUTAGE', 'OPENED', 'BACK', 'CLOSED', 'DOWN', 'TRIALS', 'REOPENED', 'WHY'],
    outages.map((one) => [
      escaped(one.upstream),
      moment(one.openedAt),
      one.backAt === null ? 'not yet' : moment(one.backAt),
      one.closedAt === null ? 'not yet' : moment(one.closedAt),
      inWords(one.downMs),
      counted(one.trials),
      counted(one.reopened),
      `${opened[one.why] ?? escaped(one.why)}${one.hold === null ? '' : ` (${escaped(one.hold)})`}`,
    ]),
  );
}

function writeWaits(terminal: Terminal, waits: readonly Waiting[]): void {
  if (waits.length === 0) return;
  terminal.line();
  terminal.table(
    ['STAGES WAITING', 'FOR', 'CODE', 'OLDEST SINCE'],
    waits
      .slice(0, LINES_MAX)
      .map((one) => [
        counted(one.stages),
        one.until === 'decision'
          ? 'a decision'
          : one.until === 'time'
            ? 'a time'
            : escaped(one.upstream ?? 'its upstream'),
        escaped(one.code),
        moment(one.oldest),
      ]),
  );
  if (waits.some(({ until }) => until === 'decision'))
    terminal.line('  To decide: mendflow runs --state asking, and mendflow show <run> for each');
}
