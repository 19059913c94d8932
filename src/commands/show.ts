// What lives here: `mendflow show <run>`: everything an operator needs to decide, on one page.
// Invariant: asks the control store only, and of an open run whether this stack's workers live; commands carry the token of the question that is open now.
// Apart from the list of runs because this page is what alerts and the Web UI send people to.
import type { Pool } from 'pg';
import { isCode, rowOf } from '../model/failure.ts';
import { workflowId } from '../model/ids.ts';
import type { AnySpec } from '../model/spec.ts';
import { balance } from '../store/balance.ts';
import { notesOf } from '../store/notes.ts';
import { breakerEvents, type BreakerMode, readBreaker } from '../store/breakers.ts';
import {
  decisionsOf,
  type DecisionRow,
  lettersByState,
  type LostAttempts,
  lostAttemptsOf,
  parksOf,
  type ParkRow,
  type RunRow,
  type StageRow,
  stagesOf,
  unreadOf,
} from '../store/reads.ts';
import { listStalled, type Stalled } from '../store/stalled.ts';
import { nobodyWaits, type Wait, waitsByUpstream, waitsLike } from '../store/waits.ts';
import { causeWords, nextOf, stateOf } from './support/breaker-words.ts';
import { type Exit } from './support/exit-codes.ts';
import { runOrAccepted } from './support/find-run.ts';
import { type Idle, idleOf } from './support/idle.ts';
import { lostWords } from './support/lost.ts';
import { lettersCommand } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import {
  balanceLine,
  commandsOf,
  costOf,
  correctionLine,
  effectsLine,
  lossLine,
  timeLine,
  waitLine,
  wouldGiveUp,
} from './support/report.ts';
import { runbookPath } from './support/runbooks.ts';
import type { Session } from './support/session.ts';
import { counted, escaped, moment } from './support/terminal.ts';
import { shellWord } from '../model/shell.ts';

const DECISIONS_MAX = 50;
/** Of more than fit a page. */
const STAGES_SHOWN_MAX = 60;
const WAITS_SHOWN_MAX = 10;
const ASKERS_SHOWN_MAX = 3;
const TEXT_SHOWN_MAX = 60;
const EVENTS_LOOKED_AT = 50;

export const registerShow: Register = (program, act) => {
  program
    .command('show')
    .summary('show a run: stages, what it waits for, decisions, balance, ready commands')
    .argument('<run>', 'a run such as log-ingest/2026-11-21/web-3, or how only one run begins or ends')
    .option('--json', 'print JSON')
    .action(act((session, run: string, options: { json?: boolean }) => show(session, run, options.json === true)));
};

async function show(session: Session, written: string, json: boolean): Promise<Exit> {
  const store = await session.store();
  const row = await runOrAccepted(session, store, written);
  if ('accepted' in row) {
    const { tellAccepted } = await import('./support/accepted.ts');
    return await tellAccepted(session, row.accepted, json);
  }
  const [stages, lost, parks, decisions, sums, letters, notes, ui] = await Promise.all([
    stagesOf(store, row.run, row.generation),
    lostAttemptsOf(store, row.run),
    parksOf(store, row.run),
    decisionsOf(store, row.run, DECISIONS_MAX),
    balance(store, row.run),
    lettersByState(store, row.run),
    notesOf(store, row.run),
    session.link(row.workflowId ?? workflowId(session.config.prefix, row.run)),
  ]);
  // Only a question needs what the project declares; to load it costs more than all the rest of this page.
  const declared = parks.length === 0 ? undefined : await session.declared().catch(() => undefined);
  const spec = declared?.registry.specs.find((one) => one.name === row.pipeline);
  const [askers, healed] = [await askersOf(store, parks), await healedOf(store, parks)];
  const unread = parks.length > 0 ? (await unreadOf(store, [row.run])).get(row.run) : undefined;
  const { closed: _closed, workflowId: id, ...shown } = row;
  const { read, loaded, duplicate, quarantined, skipped } = sums;
  const uncountedBytes = sums.uncountedBytes + (row.closedAt === null ? 0 : (row.closed?.leftBytes ?? 0));
  const lostRecords = row.closed?.balance?.lost ?? sums.lost;
  // Of an open run it is no fault that not all is read yet.
  const faults = row.closedAt === null ? [] : sums.faults;
  const page: Page = {
    ...shown,
    read,
    loaded,
    duplicate,
    quarantined,
    skipped,
    uncountedBytes,
    lost: lostRecords,
    balanced: row.closedAt === null ? null : sums.balanced,
    faults,
    notes,
    letters,
    stages: stages.map((one) => withLost(one, lost, row.run)),
    waits: parks.map((park) => ({
      ...park,
      ...costOf(commandsOf(row.run, park, spec), unread?.get(park.stage)),
      acceptsAgainSince: healed.get(park.token) ?? null,
      askers: park.held === null ? [] : (askers.get(park.upstream ?? '') ?? []),
    })),
    breakers: await breakersOf(store, parks),
    decisions,
    stalled: (await listStalled(store, 1, row.run))[0] ?? null,
    idle: row.closedAt === null ? (idleOf(session.config) ?? null) : null,
    workflowId: id,
    links: ui === undefined ? {} : { ui },
  };
  if (json) session.terminal.json(page);
  else write(session, page, spec);
  return 'ok';
}

/** An attempt without a report writes no failure, so a stage that had no other would seem to have had none. */
function withLost(one: StageRow, lost: readonly LostAttempts[], run: string): StageRow {
  const attempts = one.code === null ? lost.find(({ stage }) => stage === one.stage) : undefined;
  return attempts
    ? { ...one, code: 'worker_lost', class: rowOf('worker_lost').class, text: lostWords(attempts, run) }
    : one;
}

/** How the upstreams are that stand behind these waits; one that admits calls explains nothing. */
async function breakersOf(store: Pool, parks: readonly ParkRow[]): Promise<Page['breakers']> {
  const keys = [...new Set(parks.flatMap(({ upstream }) => upstream ?? []))];
  if (keys.length === 0) return [];
  const [rows, waits] = await Promise.all([
    Promise.all(keys.map((key) => readBreaker(store, key))),
    waitsByUpstream(store),
  ]);
  return rows.flatMap((row) =>
    row === undefined || (row.admit && row.state === 'closed' && row.mode === 'auto')
      ? []
      : [
          {
            key: row.key,
            mode: row.mode,
            says: stateOf(row),
            // One that is held lets through who was told to try.
            refuses: !row.admit && (row.mode !== 'auto' || row.hold === undefined),
            cause: row.mode === 'auto' && row.hold === undefined ? causeWords(row.cause) : '',
            next: nextOf(row, waits.get(row.key) ?? nobodyWaits, Date.now()),
          },
        ],
  );
}

/** By token: since when the upstream of a question accepts calls again that such a fault had held. Nothing else tells the one who asks that it is mended. */
async function healedOf(pool: Pool, parks: readonly ParkRow[]): Promise<ReadonlyMap<string, Date>> {
  const found = await Promise.all(
    parks.map(async ({ token, until, upstream, code, since }) => {
      const row = until === 'decision' && upstream !== null ? await readBreaker(pool, upstream) : undefined;
      if (row === undefined || !row.admit || row.mode !== 'auto' || row.state === 'open' || row.state === 'half_open')
        return [];
      const events = await breakerEvents(pool, row.key, EVENTS_LOOKED_AT);
      const held = events.findIndex(({ detail }) => detail['hold'] === code);
      // Newest first: of the moves since it was held the first that passed.
      const passed = events
        .slice(0, Math.max(held, 0))
        .findLast(({ to, at }) => to === 'ramping' && at > since.getTime());
      return passed === undefined ? [] : [[token, new Date(passed.at)] as const];
    }),
  );
  return new Map(found.flat());
}

/** By upstream: who asks for all that wait for it. One retry of theirs lets all go on. */
async function askersOf(pool: Pool, parks: readonly ParkRow[]): Promise<ReadonlyMap<string, Wait[]>> {
  const held = new Map(parks.flatMap((one) => (one.held === null ? [] : [[one.upstream ?? '', one.held] as const])));
  const found = [...held].map(
    async ([upstream, code]) =>
      [upstream, await waitsLike(pool, { upstream, code, alsoParked: false, limit: ASKERS_SHOWN_MAX })] as const,
  );
  return new Map(await Promise.all(found));
}

interface Page extends Omit<RunRow, 'closed'> {
  readonly read: number;
  readonly loaded: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly skipped: number;
  readonly uncountedBytes: number;
  readonly lost: number;
  readonly balanced: boolean | null;
  readonly faults: readonly string[];
  /** What it has to say besides its figures. */
  readonly notes: readonly string[];
  readonly letters: Readonly<Record<string, number>>;
  readonly stages: readonly StageRow[];
  /** `askers`: who asks for all that wait for a held breaker; `unread`: bytes that a skip or an accepted loss would give up; `acceptsAgainSince`: when its upstream passed its trial after a fault that held it. */
  readonly waits: readonly (ParkRow & {
    readonly commands: readonly string[];
    readonly askers: readonly Wait[];
    readonly unread: number;
    readonly acceptsAgainSince: Date | null;
  })[];
  /** Of the upstreams that this run waits for or asks about. */
  readonly breakers: readonly {
    readonly key: string;
    readonly mode: BreakerMode;
    readonly says: string;
    /** Also who is told to try makes no call now. */
    readonly refuses: boolean;
    /** The failure behind it; empty where it is an operator's word or a held fault, which say it themselves. */
    readonly cause: string;
    readonly next: string;
  }[];
  readonly decisions: readonly DecisionRow[];
  /** Why Temporal cannot move it on, if it cannot. */
  readonly stalled: Stalled | null;
  /** Of an open run: why no worker of this stack works, if none does. */
  readonly idle: Idle | null;
  readonly links: { readonly ui?: string };
}

function write(session: Session, page: Page, spec: AnySpec | undefined): void {
  const { terminal, cwd } = session;
  const { bold, dim } = {
    bold: (text: string) => terminal.style('bold', text),
    dim: (text: string) => terminal.style('dim', text),
  };
  terminal.line(`${bold(escaped(page.run))} is ${bold(page.state)}, generation ${page.generation}`);
  terminal.line(
    `  owner    ${escaped(page.owner ?? 'unknown')}${spec?.runbook === undefined ? '' : `, runbook ${runbookPath(cwd, spec.runbook)}`}`,
  );
  terminal.line(
    `  opened   ${moment(page.openedAt)}${page.closedAt === null ? '' : `, closed ${moment(page.closedAt)}`}`,
  );
  const inputs = Object.entries(page.input ?? {}).map(([name, value]) => `${name}=${escaped(String(value))}`);
  if (inputs.length > 0) terminal.line(`  inputs   ${inputs.join('  ')}`);
  const counts = page.closedAt === null ? ' (committed so far)' : page.balanced === true ? ' (it adds up)' : '';
  terminal.line(`  balance  ${balanceLine(page)}${counts}`);
  writeStanding(terminal, page);
  for (const fault of page.faults) terminal.line(`  ${terminal.style('red', 'fault')}    ${escaped(fault)}`);
  for (const note of page.notes) terminal.line(`  note     ${escaped(note)}`);
  if (page.state === 'degraded' || page.uncountedBytes > 0)
    terminal.line(`  given up ${lossLine({ records: page.lost, bytes: page.uncountedBytes })}`);
  const letters = Object.entries(page.letters).map(([state, count]) => `${counted(count)} ${state}`);
  if (letters.length > 0)
    terminal.line(
      `  letters  ${letters.join(', ')}: ${lettersCommand(
        `--run ${shellWord(page.run)}`,
        Object.values(page.letters).reduce((sum, one) => sum + one, 0),
      )}`,
    );
  if (page.links.ui !== undefined) terminal.line(`  watch    ${page.links.ui}`);
  writeStages(terminal, page);
  for (const wait of page.waits.slice(0, WAITS_SHOWN_MAX))
    writeWait(
      session,
      wait,
      page.breakers.find(({ key }) => key === wait.upstream),
    );
  if (page.waits.length > 0) {
    terminal.line();
    const refusing = page.breakers
      .filter(({ refuses }) => refuses)
      .map(({ key, says }) => `${escaped(key)} is ${says}`);
    terminal.line(
      effectsLine(
        page.waits.flatMap(({ commands }) => commands),
        refusing,
      ),
    );
  }
  if (page.waits.length > WAITS_SHOWN_MAX) {
    terminal.line();
    terminal.line(
      `and ${counted(page.waits.length - WAITS_SHOWN_MAX)} more that wait. One command for all: mendflow help retry, see --all`,
    );
  }
  if (page.decisions.length > 0) {
    terminal.line();
    terminal.line(bold('Decisions'));
    for (const one of page.decisions) terminal.line(`  ${dim(moment(one.at))} ${decisionLine(one)}`);
  }
}

/** Why none of it goes on, if that is so: Temporal cannot move it, or no worker works. */
function writeStanding(terminal: Session['terminal'], page: Pick<Page, 'stalled' | 'idle'>): void {
  if (page.stalled) {
    const { text, mend, since, attempts } = page.stalled;
    terminal.line(
      `  ${terminal.style('red', 'stalled')}  ${escaped(text)} Tried ${attempts} times since ${moment(since)}.`,
    );
    terminal.line(`           ${escaped(mend)}`);
  }
  if (page.idle) {
    terminal.line(`  ${terminal.style('red', 'workers')}  ${escaped(page.idle.says)}`);
    if (page.idle.mend !== undefined) terminal.line(`           ${page.idle.mend}`);
  }
}

/** Why one stage waits, what comes next by itself, and what a person can do. */
function writeWait(
  { terminal, cwd }: Session,
  wait: Page['waits'][number],
  breaker: Page['breakers'][number] | undefined,
): void {
  terminal.line();
  terminal.line(`${terminal.style('bold', escaped(wait.stage))} ${waitLine(wait, Date.now())}`);
  // What a refused call was told, such as when the next trial was, is over by now: the breaker below says what is so.
  if (wait.code !== 'breaker_open') terminal.line(`  ${escaped(wait.text)}`);
  else if (breaker === undefined) terminal.line('  Its breaker lets calls through again.');
  const code = wait.held ?? wait.code;
  if (isCode(code)) terminal.line(`  What to look at: ${runbookPath(cwd, `ops/runbooks/${rowOf(code).runbook}.md`)}`);
  if (correctionLine(code) !== '') terminal.line(`  ${correctionLine(code)}`);
  if (breaker) {
    const why = breaker.cause === '' ? '' : ` (${breaker.cause})`;
    terminal.line(`  ${escaped(breaker.key)} is ${breaker.says}${why}. ${breaker.next}`);
    terminal.line(`  See mendflow breakers show ${shellWord(breaker.key)}`);
  }
  if (wait.acceptsAgainSince !== null)
    terminal.line(
      `  Since ${moment(wait.acceptsAgainSince)} ${escaped(wait.upstream ?? '')} accepts calls again: \`retry\` is enough.`,
    );
  if (wait.until === 'decision') terminal.line('  It goes on only after one of:');
  else if (wait.held === null) terminal.line('  Nothing has to be done. To decide anyway:');
  else {
    if (wait.askers.length > 0) terminal.line('  Once the cause is mended, to let all go on:');
    for (const one of wait.askers)
      terminal.line(
        `    mendflow retry ${shellWord(one.run)} ${shellWord(one.stage)} --token ${one.token} --reason "…"`,
      );
    terminal.line('  Or to decide for this run alone:');
  }
  for (const command of wait.commands) terminal.line(`    ${command}`);
  if (wait.unread > 0) terminal.line(`  ${wouldGiveUp(wait.unread, wait.commands)}`);
}

/** Of very many stages those come first that are not finished. */
function writeStages(terminal: Session['terminal'], page: Page): void {
  if (page.stages.length === 0) return;
  terminal.line();
  const waiting = new Set(page.waits.slice(0, WAITS_SHOWN_MAX).map(({ stage }) => stage));
  const many = page.stages.length > STAGES_SHOWN_MAX;
  const isOver = ({ state }: StageRow): boolean => state === 'done' || state === 'skipped';
  const ordered = many ? page.stages.toSorted((a, b) => Number(isOver(a)) - Number(isOver(b))) : page.stages;
  const listed = ordered.slice(0, STAGES_SHOWN_MAX);
  terminal.table(
    ['STAGE', 'STATE', 'ATTEMPTS', 'TIME', 'LAST FAILURE'],
    listed.map((one) => [
      escaped(one.stage),
      one.state,
      String(one.attempts),
      timeLine(one),
      lastFailure(one, waiting.has(one.stage)),
    ]),
  );
  const more = page.stages.length - listed.length;
  if (more > 0) terminal.line(`and ${counted(more)} more stages, in \`mendflow show ${page.run} --json\``);
}

/** Of a stage that waits only its beginning: all of it, or what is so by now, stands below the table. */
function lastFailure({ state, code, text }: StageRow, isToldBelow: boolean): string {
  if (code === null) return state === 'aborted' ? 'stopped by the abort' : '';
  if (!isToldBelow || text === null) return `${code}: ${escaped(text ?? '')}`;
  if (code === 'breaker_open') return code;
  return `${code}: ${escaped(text.length > TEXT_SHOWN_MAX ? `${text.slice(0, TEXT_SHOWN_MAX).toWellFormed()}…` : text)}`;
}

/** `retry of ingest by anna, because "disk was full": taken. ingest is tried again now.` */
export const decisionLine = (one: DecisionRow): string =>
  `${one.kind}${one.stage === '' ? '' : ` of ${escaped(one.stage)}`} by ${escaped(one.actor)}${one.reason === '' ? '' : `, because "${escaped(one.reason)}"`}: ${one.taken ? 'taken' : 'refused'}. ${escaped(one.text)}`;
