// What lives here: attempts that ended with their worker, in words.
// Invariant: numbers of attempts, and the command that shows the log of the worker; a worker that dies tells nobody anything else.
// Apart because `show` and `logs` say the same of the same attempts.
import { shellWord } from '../../model/shell.ts';
import type { LostAttempts } from '../../store/reads.ts';

/** `attempts 1 to 4, 6 ended with their worker; its log says why: mendflow logs <run> --worker`. `mark` stands behind the worker. */
export function lostWords({ attempts }: Pick<LostAttempts, 'attempts'>, run: string, mark = ''): string {
  const [word, whose] = attempts.length === 1 ? ['attempt', 'its'] : ['attempts', 'their'];
  return `${word} ${inRanges(attempts)} ended with ${whose} worker${mark}; its log says why: mendflow logs ${shellWord(run)} --worker`;
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
