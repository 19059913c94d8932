// What lives here: attempts that left no report, in words.
// Invariant: only what is known: no row says how they ended, so what is said of the worker is what may have been, never that it died.
// Apart because `show`, `logs` and `last-night` say the same of the same attempts.
import { shellWord } from '../../model/shell.ts';
import type { LostAttempts } from '../../store/reads.ts';

/** `left no report: their worker ended, froze, or could not reach the control store`, of so many attempts. `mark` stands before the colon. */
export const noReport = (attempts: number, mark = ''): string =>
  `left no report${mark}: ${attempts === 1 ? 'its' : 'their'} worker ended, froze, or could not reach the control store`;

/** `attempts 1 to 4, 6 left no report: …; see mendflow logs <run> --worker`. */
export function lostWords({ attempts }: Pick<LostAttempts, 'attempts'>, run: string, mark = ''): string {
  const word = attempts.length === 1 ? 'attempt' : 'attempts';
  return `${word} ${inRanges(attempts)} ${noReport(attempts.length, mark)}; see mendflow logs ${shellWord(run)} --worker`;
}

/** `1 to 4, 6`, of numbers in order. */
function inRanges(numbers: readonly number[]): string {
  const ranges: [from: number, to: number][] = [];
  for (const one of numbers) {
    const last = ranges.at(-1);
    if (last?.[1] === one - 1) last[1] = one;
    else ranges.push([one, one]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(', ');
}
