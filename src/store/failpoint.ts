// What lives here: named points on the path of a chunk where a test makes this process die, stop or fail.
// Invariant: inert unless armed; a point that is not in the list does not compile, and every point of the list is really passed.
// Apart because the data plane has to be killed at exactly these places, in the code that ships.

/** All points, in the order in which a loader passes them. Tests iterate this list. */
export const failpoints = [
  'lease.afterTerminate',
  'lease.afterBump',
  'flow.afterPlan',
  'chunk.afterBegin',
  'chunk.afterLedger',
  'chunk.midCopy',
  'chunk.afterCopy',
  'chunk.afterLetters',
  'chunk.afterFence',
  'chunk.beforeCommit',
  'chunk.inCommit',
  'chunk.afterCommit',
  'run.beforeClose',
  'run.close',
] as const;
/** Points that only stages with datasets and reports pass. */
export const datasetFailpoints = [
  'dataset.afterPart',
  'dataset.beforeSeal',
  'dataset.afterSeal',
  'report.beforeRename',
  'report.afterRename',
] as const;
export type Failpoint = (typeof failpoints)[number] | (typeof datasetFailpoints)[number];

const known: readonly string[] = [...failpoints, ...datasetFailpoints];

type Action = 'kill' | 'stop' | 'throw';
interface Armed {
  readonly action: Action;
  /** Which passing of the point acts, from 1. */
  readonly at: number;
  passed: number;
}

const armed = new Map<string, Armed>();

/**
 * Arms points as in `chunk.beforeCommit:kill@3,chunk.midCopy:stop`: kill is SIGKILL to this process, stop is SIGSTOP, throw is an error;
 * `@n` acts at the n-th passing (default 1). An empty text disarms all. Throws on a text that names no point.
 */
export function armFailpoints(text: string): void {
  armed.clear();
  for (const part of text.split(',').filter((piece) => piece !== '')) {
    const match = /^([\w.]+):(kill|stop|throw)(?:@(\d+))?$/.exec(part);
    if (!match || !known.includes(match[1]!))
      throw new TypeError(`"${part}" is no failpoint; write for example chunk.beforeCommit:kill@3.`);
    armed.set(match[1]!, { action: match[2] as Action, at: Number(match[3] ?? 1), passed: 0 });
  }
}

/** Whether the point acts at its next passing; for places that have to prepare for it. */
export const isArmed = (point: Failpoint): boolean => armed.has(point);

/** Passes a point. Costs one lookup in an empty map when nothing is armed. */
export function hit(point: Failpoint): void {
  const found = armed.get(point);
  if (!found || ++found.passed !== found.at) return;
  if (found.action === 'throw') throw new Error(`Failpoint ${point}.`);
  process.kill(process.pid, found.action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
}
