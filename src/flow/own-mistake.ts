// What lives here: telling bad records from code that fails on good ones: nearly all of them failed by an error at one place in it.
// Invariant: places and numbers only; what an error says of a record stays in its letter.
// Apart from the limit, which counts bad records and asks for no reason.
import { inDigits } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import { shellWord } from '../model/shell.ts';
import type { Reject } from './types.ts';

/** Among so many of a hundred a few may be bad in another way. */
const NEARLY_ALL = 0.9;

/** The one place in the project's code where nearly all of the bad ones failed, and how many. */
export function commonPlace(bad: readonly Reject[]): { readonly place: string; readonly count: number } | undefined {
  const counts = new Map<string, number>();
  for (const { violations } of bad) {
    const place = violations[0]?.place;
    if (place !== undefined) counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  for (const [place, count] of counts) if (count >= NEARLY_ALL * bad.length) return { place, count };
  return undefined;
}

/** The place, where nearly all of the records failed there, and not only nearly all of the bad ones. */
export const placeOfAll = (bad: readonly Reject[], records: number): string | undefined => {
  const found = commonPlace(bad);
  return found && found.count >= NEARLY_ALL * records ? found.place : undefined;
};

/** Said of records that became letters; once, however many chunks say it. */
export const mistakeNote = (stage: string, place: string): string =>
  `The code of ${stage} threw an error at ${place} for its bad records, so look at the code there first: the records may be good.`;

/** `code_bug` where nearly all of `records` failed at one place. */
export function ownMistake(
  { runKey, stage }: { readonly runKey: string; readonly stage: string },
  bad: readonly Reject[],
  { records, at, kept }: { readonly records: number; readonly at: number; readonly kept: number },
): CodedError | undefined {
  const place = placeOfAll(bad, records);
  if (place === undefined) return undefined;
  return new CodedError(
    'code_bug',
    `${inDigits(bad.length)} of ${inDigits(records)} records are bad, nearly all by an error that the code of ${stage} threw at ${place}: it is the code there, not the records. It stopped at offset ${at}. ` +
      `What was committed before stays; of this chunk ${kept} letters were kept as a sample, nothing was loaded and no row deleted. Mend the code, deploy it, then retry. What the error says: \`mendflow letters show\` with the ID of one, from \`mendflow letters list --run ${shellWord(runKey)}\``,
  );
}
