// What lives here: what a night was: what healed and by what, episodes, outages; counted from rows.
// Invariant: pure; what has not ended is counted to now, never left out, because leaving it out makes recovery look fast during an outage.
// Apart from the command so that the counting can be tested without a database.
import type { Move, Troubled } from '../../store/night.ts';

/** Who ended the trouble of a stage. */
export type Healer = 'retry' | 'breaker' | 'person' | 'time' | 'decision';

export interface Healed {
  /** Stages that failed and then did well, by who healed them. */
  readonly by: Readonly<Record<Healer, number>>;
  /** Skipped, given up or aborted by a decision, or failed with healing off. */
  readonly ended: number;
  readonly open: number;
  readonly attemptsFailed: number;
  /** Attempts that left no report of how they ended. */
  readonly attemptsLost: number;
  /** Stages that did well in the end, and for which nobody had to decide anything. */
  readonly unasked: number;
  /** How long the trouble of a stage lasted in the mean, of those that are over; null without any. */
  readonly meanMs: number | null;
  /** Since when the oldest that is not over has failed. */
  readonly oldest: Date | null;
}

/** A decision whose attempt did not fail counts before everything else; then the breaker, if it was what stopped the stage last, or who released it; then waiting after a spent budget. */
export const healerOf = ({ decided, released, code, spent }: Troubled): Healer =>
  decided ? 'decision' : code === 'breaker_open' ? (released ? 'person' : 'breaker') : spent ? 'time' : 'retry';

export function healedOf(troubled: readonly Troubled[]): Healed {
  const over = troubled.filter(({ endedAt }) => endedAt !== null);
  const open = troubled.filter(({ endedAt }) => endedAt === null);
  const healed = over.filter(({ state }) => state === 'done');
  const by: Record<Healer, number> = { retry: 0, breaker: 0, person: 0, time: 0, decision: 0 };
  for (const one of healed) by[healerOf(one)]++;
  const sum = (figures: readonly number[]): number => figures.reduce((all, one) => all + one, 0);
  const lastedMs = over.map(({ firstAt, endedAt }) => endedAt!.getTime() - firstAt.getTime());
  return {
    by,
    ended: over.length - healed.length,
    open: open.length,
    attemptsFailed: sum(troubled.map(({ failed }) => failed)),
    attemptsLost: sum(troubled.map(({ lost }) => lost)),
    unasked: healed.filter(({ decisions, released }) => decisions === 0 && !released).length,
    meanMs: over.length === 0 ? null : sum(lastedMs) / over.length,
    oldest: open.length === 0 ? null : new Date(Math.min(...open.map(({ firstAt }) => firstAt.getTime()))),
  };
}

/** One cause of trouble: from the first failure of a stage to the moment from which none of its runs failed any more. */
export interface Episode {
  readonly pipeline: string;
  /** As declared. */
  readonly stage: string;
  readonly from: Date;
  /** Null while it goes on. */
  readonly until: Date | null;
  readonly runs: number;
  readonly codes: Readonly<Record<string, number>>;
  /** Nobody had to decide anything. */
  readonly unasked: boolean;
}

/** Runs of one stage whose troubles overlap are one episode: forty runs behind one dead upstream are one page, not forty. */
export function episodesOf(troubled: readonly Troubled[]): Episode[] {
  const byStage = new Map<string, Troubled[]>();
  for (const one of troubled) {
    const key = `${one.pipeline} ${declared(one.stage)}`;
    const list = byStage.get(key);
    if (list) list.push(one);
    else byStage.set(key, [one]);
  }
  const episodes = [...byStage.values()].flatMap(mergeOverlaps);
  return episodes.toSorted((a, b) => a.from.getTime() - b.from.getTime());
}

const declared = (stage: string): string => stage.split('[')[0]!;

function mergeOverlaps(list: readonly Troubled[]): Episode[] {
  const groups: { end: number; members: Troubled[] }[] = [];
  for (const one of list.toSorted((a, b) => a.firstAt.getTime() - b.firstAt.getTime())) {
    const end = one.endedAt?.getTime() ?? Infinity;
    const last = groups.at(-1);
    if (last && one.firstAt.getTime() <= last.end) {
      last.members.push(one);
      last.end = Math.max(last.end, end);
    } else groups.push({ end, members: [one] });
  }
  return groups.map(({ end, members }) => {
    const codes: Record<string, number> = {};
    for (const { code } of members) codes[code] = (codes[code] ?? 0) + 1;
    return {
      pipeline: members[0]!.pipeline,
      stage: declared(members[0]!.stage),
      from: members[0]!.firstAt,
      until: end === Infinity ? null : new Date(end),
      runs: new Set(members.map(({ run }) => run)).size,
      codes,
      unasked: members.every(
        ({ decisions, released, state, endedAt }) =>
          decisions === 0 && !released && (endedAt === null ? state !== 'asking' : state === 'done'),
      ),
    };
  });
}

export interface EpisodeFigures {
  readonly ended: number;
  readonly open: number;
  /** Ended, and nobody was asked: each of them would have been a page. */
  readonly pagesAvoided: number;
  /** Mean time to recovery of those that ended, in ms; null without any. */
  readonly meanMs: number | null;
  /** How long the oldest open one has lasted, in ms. */
  readonly openMs: number | null;
}

export function figuresOf(episodes: readonly Episode[], now: number): EpisodeFigures {
  const lasted = episodes.flatMap(({ from, until }) => (until === null ? [] : [until.getTime() - from.getTime()]));
  const open = episodes.flatMap(({ from, until }) => (until === null ? [now - from.getTime()] : []));
  return {
    ended: lasted.length,
    open: open.length,
    pagesAvoided: episodes.filter(({ until, unasked }) => until !== null && unasked).length,
    meanMs: lasted.length === 0 ? null : lasted.reduce((sum, one) => sum + one, 0) / lasted.length,
    openMs: open.length === 0 ? null : Math.max(...open),
  };
}

/** From the opening of a breaker to the end of its ramp. */
export interface Outage {
  readonly upstream: string;
  readonly openedAt: Date;
  /** Why it opened; with the code that held it, if one did. */
  readonly why: string;
  readonly hold: string | null;
  /** When a trial passed for good, and parked runs began to go on. */
  readonly backAt: Date | null;
  readonly closedAt: Date | null;
  /** From opening to back, or to now. */
  readonly downMs: number;
  /** Trials: all calls that reached the upstream between opening and back. */
  readonly trials: number;
  readonly reopened: number;
}

export function outagesOf(moves: readonly Move[], now: number): Outage[] {
  const current = new Map<string, Omit<Outage, 'downMs'>>();
  const over: Omit<Outage, 'downMs'>[] = [];
  for (const { key, to, reason, hold, at } of moves) {
    const one = current.get(key);
    if (to === 'open' && !one) {
      const opened = {
        upstream: key,
        openedAt: at,
        why: reason,
        hold,
        backAt: null,
        closedAt: null,
        trials: 0,
        reopened: 0,
      };
      current.set(key, opened);
    } else if (!one) continue;
    else if (to === 'closed') {
      over.push({ ...one, closedAt: at, backAt: one.backAt ?? at });
      current.delete(key);
    } else if (to === 'half_open') current.set(key, { ...one, trials: one.trials + 1 });
    else if (to === 'ramping') current.set(key, { ...one, backAt: at });
    else current.set(key, { ...one, backAt: null, hold: hold ?? one.hold, reopened: one.reopened + 1 });
  }
  return [...over, ...current.values()]
    .map((one) => ({ ...one, downMs: (one.backAt?.getTime() ?? now) - one.openedAt.getTime() }))
    .toSorted((a, b) => a.openedAt.getTime() - b.openedAt.getTime());
}
